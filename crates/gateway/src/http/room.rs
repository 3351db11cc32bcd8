//! Room for each person: for large messages, and for requests under way. A message may have sixteen mebibytes, a stream may
//! be open for days, and connections are many: what one person sends must not be all the memory that there is, nor what one
//! has open all the connections.
//!
//! Small messages need no room, so an answer that a call waits for is never behind one that waits for room.

use std::sync::Arc;
use std::time::Duration;

use refmon_core::caller::Caller;
use refmon_core::limits;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::hub::SHORT;
use crate::shares::Shares;

/// Bytes of a message that is small.
const SMALL: usize = 64 * 1024;
/// Bytes of one person's large messages that are read, or wait for their answer to begin, at the same time.
const LARGE_MAX: usize = 4 * limits::FRAME_BYTES_MAX;
/// Requests of one person under way at the same time, open streams among them.
const REQUESTS_MAX: usize = 1_024;
/// What one person may have done at the same time beside MCP, by APIs that judge, and by those that look and switch.
const TURNS_MAX: usize = 16;
/// What may be judged for all people together beside MCP.
const TURNS_OF_ALL_MAX: usize = 64;
/// Requests of people whom nobody knows yet, all together.
const STRANGERS_MAX: usize = 256;
/// How long a large message waits for room.
const PATIENCE: Duration = Duration::from_secs(30);
/// What room is counted in.
const UNIT: usize = 1024;

/// The room of each person, whatever their credentials and agents.
#[derive(Debug)]
pub(super) struct Room {
    large: Shares,
    requests: Shares,
    judging: Shares,
    /// Bodies that may take long to judge: one of each person at a time.
    long: Shares,
    looking: Shares,
    all: Arc<Semaphore>,
    strangers: Arc<Semaphore>,
}

/// There was no room in time.
#[derive(Debug)]
pub(super) struct Full;

/// What one request takes up for as long as anything is done for it, whether or not its client still listens.
#[derive(Debug)]
#[expect(dead_code, reason = "kept, and given back when dropped")]
pub(super) struct Stay {
    place: Arc<OwnedSemaphorePermit>,
    room: Taken,
}

impl Stay {
    pub(super) fn new(place: &Arc<OwnedSemaphorePermit>) -> Self {
        Self { place: Arc::clone(place), room: Taken(None) }
    }

    /// The same, with room for its message.
    pub(super) fn with(self, room: Taken) -> Self {
        Self { room, ..self }
    }
}

/// A turn that has come, and is over with this.
#[derive(Debug)]
pub(super) struct Turn(#[expect(dead_code, reason = "kept, and given back when dropped")] Vec<OwnedSemaphorePermit>);

/// Room that is taken, and given back with this.
#[derive(Debug)]
pub(super) struct Taken(Option<OwnedSemaphorePermit>);

impl Default for Room {
    fn default() -> Self {
        Self {
            large: Shares::of_each(LARGE_MAX / UNIT),
            requests: Shares::of_each(REQUESTS_MAX),
            judging: Shares::of_each(TURNS_MAX),
            long: Shares::of_each(1),
            looking: Shares::of_each(TURNS_MAX),
            all: Arc::new(Semaphore::new(TURNS_OF_ALL_MAX)),
            strangers: Arc::new(Semaphore::new(STRANGERS_MAX)),
        }
    }
}

impl Room {
    /// Takes room for one more request, for as long as what is returned lives. `None` if there are too many.
    pub(super) fn enter(&self, caller: &Caller) -> Option<OwnedSemaphorePermit> {
        self.requests.of(caller).try_acquire_owned().ok()
    }

    /// Waits until it is a person's turn at an API whose bodies have at most `bytes_max` bytes, with a body of `bytes`. What
    /// is small is done at once, and so a switch is never behind the questions of the one whom it is to stop.
    pub(super) async fn turn(&self, caller: &Caller, bytes_max: usize, bytes: usize) -> Turn {
        let mut needed = Vec::new();
        if bytes_max <= SMALL {
            needed.push(self.looking.of(caller));
        } else {
            needed.push(self.judging.of(caller));
            needed.extend((bytes > SHORT).then(|| self.long.of(caller)));
            needed.push(Arc::clone(&self.all));
        }
        let mut taken = Vec::with_capacity(needed.len());
        for share in needed {
            // INVARIANT: nobody closes a share.
            taken.extend(share.acquire_owned().await);
        }
        Turn(taken)
    }

    /// Takes room for one more request of somebody whom nobody knows yet. It is room of its own: strangers take none of that
    /// of people who are known.
    pub(super) fn admit(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.strangers).try_acquire_owned().ok()
    }

    /// Takes room for a message of so many bytes; if it does not say how many, for the largest that there can be.
    pub(super) async fn take(&self, caller: &Caller, bytes: Option<u64>) -> Result<Taken, Full> {
        let bytes = bytes.and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(limits::FRAME_BYTES_MAX);
        if bytes <= SMALL {
            return Ok(Taken(None));
        }
        let waiting = self.large.of(caller).acquire_many_owned(units(bytes.min(limits::FRAME_BYTES_MAX)));
        match tokio::time::timeout(PATIENCE, waiting).await {
            Ok(Ok(permit)) => Ok(Taken(Some(permit))),
            Ok(Err(_)) | Err(_) => Err(Full),
        }
    }
}

impl Taken {
    /// Gives back what a message that has been read does not need.
    pub(super) fn fit(&mut self, bytes: usize) {
        let Some(permit) = self.0.as_mut() else { return };
        let needed = if bytes <= SMALL { 0 } else { usize::try_from(units(bytes)).unwrap_or(usize::MAX) };
        drop(permit.split(permit.num_permits().saturating_sub(needed)));
    }
}

fn units(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use refmon_core::ids::{AgentId, TenantId, UserId};

    use super::*;

    fn caller(user: &str, agent: &str) -> Caller {
        let (tenant, agent) = (TenantId::parse("t").unwrap(), AgentId::parse(agent).unwrap());
        Caller::local(tenant, UserId::parse(user).unwrap(), agent, [])
    }

    #[test]
    fn one_persons_requests_are_bounded_and_nobody_elses() {
        let room = Room::default();
        let (eve, other, ada) = (caller("eve", "a"), caller("eve", "b"), caller("ada", "a"));
        let mut open: Vec<_> = (0..REQUESTS_MAX).map(|_| room.enter(&eve).unwrap()).collect();
        assert!(room.enter(&eve).is_none() && room.enter(&other).is_none());
        assert!(room.enter(&ada).is_some());
        drop(open.pop());
        assert!(room.enter(&other).is_some());
    }

    async fn is_full(room: &Room, caller: &Caller, bytes: Option<u64>) -> bool {
        tokio::time::timeout(Duration::from_millis(20), room.take(caller, bytes)).await.is_err()
    }

    #[tokio::test]
    async fn one_persons_questions_wait_for_each_other_and_no_switch_waits_for_them() {
        let room = Room::default();
        let (eve, other, ada) = (caller("eve", "a"), caller("eve", "b"), caller("ada", "a"));
        let waits = async |caller: &Caller, bytes_max: usize, bytes: usize| {
            tokio::time::timeout(Duration::from_millis(20), room.turn(caller, bytes_max, bytes)).await.is_err()
        };
        let long = room.turn(&eve, 1_000_000, 50_000).await;
        assert!(waits(&other, 1_000_000, 50_000).await, "one long one of a person, whatever the agent");
        assert!(!waits(&other, 1_000_000, 1_000).await && !waits(&ada, 1_000_000, 50_000).await);
        let mut taken = vec![long];
        while taken.len() < TURNS_MAX {
            taken.push(room.turn(&eve, 1_000_000, 1_000).await);
        }
        assert!(waits(&eve, 1_000_000, 1_000).await, "all turns of a person are taken");
        assert!(!waits(&eve, 16_384, 1_000).await, "but not those for switches");
        taken.pop();
        assert!(!waits(&eve, 1_000_000, 1_000).await);
    }

    #[tokio::test]
    async fn one_persons_large_messages_wait_for_each_other_and_nobody_elses() {
        let room = Room::default();
        let (eve, other, ada) = (caller("eve", "a"), caller("eve", "b"), caller("ada", "a"));
        let mut taken = Vec::new();
        for _ in 0..4 {
            taken.push(room.take(&eve, None).await.unwrap());
        }
        assert!(is_full(&room, &eve, None).await);
        assert!(is_full(&room, &other, Some(1024 * 1024)).await, "another agent of the same person");
        assert!(!is_full(&room, &eve, Some(1_000)).await, "a small message needs no room");
        assert!(!is_full(&room, &ada, None).await, "somebody else");
        taken[0].fit(1_000_000);
        assert!(!is_full(&room, &eve, Some(15_000_000)).await, "what was not needed is given back");
        assert!(is_full(&room, &eve, None).await);
        drop(taken);
        assert!(!is_full(&room, &eve, None).await);
    }
}
