//! Ports that wait for a disk, and tell the runtime of `refmon serve` before they do.
//!
//! A thread of the runtime that waits serves nobody else, so it hands its other work over first. That costs more than a
//! journal in memory takes to write, so it is not done while appends are fast. Outside of a runtime nothing is told.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{PoisonError, RwLock};
use std::time::{Duration, Instant};

use anyhow::Result;
use refmon_audit::journal::Journal;
use refmon_core::caller::Caller;
use refmon_core::digest::Binding;
use refmon_core::hold::HoldState;
use refmon_core::ids::HoldId;
use refmon_core::ports::{self, Approval, Fault, HoldRequest, Holds, Moment, Placed, ScopeGrant, ScopeGrants, Wait};
use refmon_core::record::Record;
use tokio::task::block_in_place;

/// An append that takes longer is slow: handing the other work over would have been worth it.
const SLOW: Duration = Duration::from_micros(60);
/// Slow appends in a row after which the other work is handed over. One alone may be a thread that had to wait.
const SLOW_MAX: u32 = 4;

/// The journal, so that it can be closed while threads that wait for input still hold the monitor.
pub(crate) struct Evidence {
    journal: RwLock<Option<Journal>>,
    /// Slow durable appends in a row.
    slow: AtomicU32,
}

impl Evidence {
    pub(crate) const fn new(journal: Journal) -> Self {
        Self { journal: RwLock::new(Some(journal)), slow: AtomicU32::new(SLOW_MAX) }
    }

    /// Writes what is queued and closes the journal in order. Later appends fail.
    pub(crate) fn close(&self) -> Result<()> {
        match self.journal.write().unwrap_or_else(PoisonError::into_inner).take() {
            Some(journal) => Ok(journal.close()?),
            None => Ok(()),
        }
    }

    /// Whether appends can still succeed.
    pub(crate) fn is_healthy(&self) -> bool {
        self.journal.read().unwrap_or_else(PoisonError::into_inner).as_ref().is_some_and(Journal::is_healthy)
    }

    fn now(&self, record: &Record, wait: Wait) -> Result<(), Fault> {
        let journal = self.journal.read().unwrap_or_else(PoisonError::into_inner);
        let journal = journal.as_ref().ok_or(Fault::unavailable("the journal, which is closed,"))?;
        ports::Journal::append(journal, record, wait)
    }
}

impl ports::Journal for Evidence {
    fn append(&self, record: &Record, wait: Wait) -> Result<(), Fault> {
        let slow = self.slow.load(Ordering::Relaxed);
        let begun = Instant::now();
        let appended = if slow < SLOW_MAX { self.now(record, wait) } else { block_in_place(|| self.now(record, wait)) };
        if wait == Wait::Durable {
            let slow = if begun.elapsed() < SLOW { 0 } else { slow.saturating_add(1) };
            self.slow.store(slow, Ordering::Relaxed);
        }
        appended
    }
}

/// Stores in a database. A judgement that only reads does not wait.
pub(crate) struct Waiting<S>(pub(crate) S);

impl<S: Holds> Holds for Waiting<S> {
    fn approved(&self, caller: &Caller, binding: &Binding, now: Moment) -> Result<Option<Approval>, Fault> {
        block_in_place(|| self.0.approved(caller, binding, now))
    }

    fn place(&self, caller: &Caller, request: &HoldRequest<'_>) -> Result<Placed, Fault> {
        block_in_place(|| self.0.place(caller, request))
    }

    fn state(&self, caller: &Caller, hold: HoldId, now: Moment) -> Result<Option<HoldState>, Fault> {
        block_in_place(|| self.0.state(caller, hold, now))
    }

    fn spend(&self, caller: &Caller, approval: &Approval, now: Moment) -> Result<bool, Fault> {
        block_in_place(|| self.0.spend(caller, approval, now))
    }
}

impl<S: ScopeGrants> ScopeGrants for Waiting<S> {
    fn in_force(&self, caller: &Caller, now: Moment) -> Result<Vec<ScopeGrant>, Fault> {
        self.0.in_force(caller, now)
    }
}
