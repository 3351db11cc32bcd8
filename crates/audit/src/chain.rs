//! The SHA-256 chain through the segments and batches of one boot.
//!
//! ```text
//! start   = H("refmon/journal/boot/v1", node, boot)
//! segment = H("refmon/journal/segment/v1", header)            the header holds the value before it
//! batch   = H("refmon/journal/batch/v1", before, first, count, leaf …)
//! leaf    = SHA-256(0x00 ‖ envelope)                          RFC 6962, section 2.1: the leaf of a Merkle tree
//! ```
//!
//! It shows that nothing in the middle was changed, taken out, put in or moved without rewriting everything that
//! follows. It cannot show that the end was cut off, nor that all of it was rewritten: that takes a head kept
//! where the writer cannot reach it.

use sha2::{Digest as _, Sha256};

use crate::ids::{BootId, NodeId};

/// A value of the chain.
pub(crate) type Link = [u8; 32];

pub(crate) fn start(node: NodeId, boot: BootId) -> Link {
    let mut hash = domain(b"refmon/journal/boot/v1");
    hash.update(node.as_bytes());
    hash.update(boot.as_bytes());
    hash.finalize().into()
}

pub(crate) fn segment(header: &[u8]) -> Link {
    let mut hash = domain(b"refmon/journal/segment/v1");
    hash.update(header);
    hash.finalize().into()
}

/// The hash of an envelope as a leaf.
pub(crate) fn leaf(envelope: &[u8]) -> Link {
    let mut hash = Sha256::new();
    hash.update([0]);
    hash.update(envelope);
    hash.finalize().into()
}

/// The chain over one batch, while its leaves come in.
#[derive(Debug)]
pub(crate) struct BatchChain(Sha256);

impl BatchChain {
    pub(crate) fn new(before: &Link, first: u64, count: u32) -> Self {
        let mut hash = domain(b"refmon/journal/batch/v1");
        hash.update(before);
        hash.update(first.to_le_bytes());
        hash.update(count.to_le_bytes());
        Self(hash)
    }

    pub(crate) fn add(&mut self, envelope: &[u8]) {
        self.0.update(leaf(envelope));
    }

    pub(crate) fn finish(self) -> Link {
        self.0.finalize().into()
    }
}

fn domain(name: &[u8]) -> Sha256 {
    let mut hash = Sha256::new();
    hash.update((name.len() as u64).to_le_bytes());
    hash.update(name);
    hash
}
