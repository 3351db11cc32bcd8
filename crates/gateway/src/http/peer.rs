//! Who is at the other end of a connection, as far as the connection says it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::ClientCertVerifier;

/// Seconds for which a certificate that was verified is believed on its connection.
const BELIEVED_SECONDS: u64 = 60;

/// The other end of a connection.
#[derive(Debug)]
pub struct Peer {
    loopback: bool,
    certified: Option<Certified>,
}

/// A client certificate that was verified, and is verified again while its connection lives: one that has expired does
/// not outlive that by being used.
pub(super) struct Certified {
    chain: Vec<CertificateDer<'static>>,
    uris: Vec<String>,
    verifier: Arc<dyn ClientCertVerifier>,
    verified: AtomicU64,
}

impl Peer {
    /// A peer that has shown no certificate. `loopback` says that it is on this machine.
    #[must_use]
    pub const fn plain(loopback: bool) -> Self {
        Self { loopback, certified: None }
    }

    pub(super) const fn certified(loopback: bool, certified: Certified) -> Self {
        Self { loopback, certified: Some(certified) }
    }

    /// Whether the connection came from this machine.
    #[must_use]
    pub const fn is_loopback(&self) -> bool {
        self.loopback
    }

    /// The URIs among the names of the client certificate, if the connection has one. None are left once it is no longer
    /// in order.
    #[must_use]
    pub fn certificate(&self) -> Option<&[String]> {
        self.certified.as_ref().map(|certified| certified.uris(UnixTime::now()))
    }
}

impl Certified {
    /// Takes a chain that `verifier` has just accepted. `None` if it cannot be read, and so is nobody's.
    pub(super) fn new(
        chain: Vec<CertificateDer<'static>>,
        verifier: Arc<dyn ClientCertVerifier>,
        now: UnixTime,
    ) -> Option<Self> {
        let own = webpki::EndEntityCert::try_from(chain.first()?).ok()?;
        let uris = own.valid_uri_names().map(str::to_owned).collect();
        Some(Self { chain, uris, verifier, verified: AtomicU64::new(now.as_secs()) })
    }

    fn uris(&self, now: UnixTime) -> &[String] {
        let verified = self.verified.load(Ordering::Relaxed);
        // A clock that was set back is a reason to look again, too.
        if now.as_secs().checked_sub(verified).is_some_and(|seconds| seconds < BELIEVED_SECONDS) {
            return &self.uris;
        }
        let Some((own, rest)) = self.chain.split_first() else { return &[] };
        if self.verifier.verify_client_cert(own, rest, now).is_err() {
            return &[];
        }
        self.verified.store(now.as_secs(), Ordering::Relaxed);
        &self.uris
    }
}

impl fmt::Debug for Certified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certified").field("uris", &self.uris).finish_non_exhaustive()
    }
}
