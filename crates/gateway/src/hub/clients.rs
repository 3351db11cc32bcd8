//! All clients: sessions of the older era, callers of the newer one, and how long each is remembered.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use refmon_core::bundle::Listing;
use refmon_core::caller::{Caller, IdentityKind};
use refmon_core::ids::{AgentId, CallId, Scope, TenantId, TrajectoryId, UserId};
use refmon_core::monitor::{Ask, Monitor, Proposal, Route};
use refmon_core::ports::{Clock, Entropy, Fault};
use refmon_core::reason::ReasonCode;
use refmon_core::record::Door;
use tokio::sync::Semaphore;

use super::client::{Client, UNREAD_MAX};
use super::peer::Turns;
use crate::link::Spec;
use crate::message::Message;
use crate::session::Observer;
use crate::shares::Shares;

/// Clients that are remembered at the same time.
const CLIENTS_MAX: usize = 10_000;
/// Sessions of one person that are remembered at the same time.
const SESSIONS_OF_PERSON_MAX: usize = 1_024;
/// Requests of one caller that are judged at the same time, each on a thread of its own.
const TURNS_OF_CALLER_MAX: usize = 16;
/// Requests of all callers that are judged at the same time: fewer than the runtime has threads for waiting, for without
/// one of those nothing else would go on.
const TURNS_MAX: usize = 384;
/// Server processes of one caller at the same time, unless the operator says otherwise.
const PROCESSES_OF_CALLER: usize = 128;
/// How long a client may be idle before its servers are let go, unless the operator says otherwise.
const IDLE: Duration = Duration::from_secs(30 * 60);
/// How long a session must have been idle to make room for another one of the same person.
const IDLE_ENOUGH: Duration = Duration::from_secs(60);

/// What every peer needs.
#[derive(Clone)]
pub struct Parts {
    /// The monitor. It is asked on the threads of the runtime: a port of it that may wait calls
    /// [`tokio::task::block_in_place`] before it does, or others wait with it.
    pub monitor: Arc<Monitor>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness for session identifiers and trajectories.
    pub entropy: Arc<dyn Entropy>,
    /// Who is told what an operator should see.
    pub observer: Arc<dyn Observer>,
    /// The runtime on which links wait.
    pub runtime: tokio::runtime::Handle,
    /// How long a held call may wait for its person while its client listens.
    pub hold_wait: Duration,
}

/// Who a client is, across requests. The same person with other scopes, or by another kind of credential, is another
/// caller: what one may do must not be had through what the other has begun.
type Who = (TenantId, UserId, AgentId, Vec<Scope>, IdentityKind);

/// All clients, and the servers that they can have.
pub struct Hub {
    parts: Parts,
    servers: Arc<[Arc<Spec>]>,
    sessions: Mutex<HashMap<String, Arc<Client>>>,
    shared: Mutex<HashMap<Who, Arc<Client>>>,
    turns: Shares,
    all: Arc<Semaphore>,
    long: Shares,
    processes: Shares,
    unread: Shares,
    idle: Duration,
}

impl Hub {
    /// Makes a hub in front of servers.
    #[must_use]
    pub fn new(parts: Parts, servers: Vec<Spec>) -> Self {
        let servers = servers.into_iter().map(Arc::new).collect();
        let all = Arc::new(Semaphore::new(TURNS_MAX));
        let (sessions, shared) = (Mutex::default(), Mutex::default());
        let (turns, long) = (Shares::of_each(TURNS_OF_CALLER_MAX), Shares::of_each(1));
        let (processes, unread) = (Shares::of_each(PROCESSES_OF_CALLER), Shares::of_each(UNREAD_MAX));
        Self { parts, servers, sessions, shared, turns, all, long, processes, unread, idle: IDLE }
    }

    /// Lets clients go that have been idle for so long.
    #[must_use]
    pub const fn with_idle(mut self, idle: Duration) -> Self {
        self.idle = idle;
        self
    }

    /// Lets each caller have at most so many server processes.
    #[must_use]
    pub fn with_processes_of_caller(mut self, max: usize) -> Self {
        self.processes = Shares::of_each(max);
        self
    }

    /// How many clients there are: sessions, and callers without one.
    #[must_use]
    pub fn clients(&self) -> (usize, usize) {
        (self.sessions().len(), self.shared().len())
    }

    /// Begins a session of a client up to 2025-11-25. `None` if there are too many.
    pub(crate) fn begin(&self, caller: &Arc<Caller>, hello: Message) -> Result<Option<(String, Arc<Client>)>, Fault> {
        let mut random = [0u8; 32];
        self.parts.entropy.fill(&mut random)?;
        let id: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        let client = self.client(caller, Some(hello))?;
        let mut sessions = self.sessions();
        // Of one person, whatever the scopes and agents of their credentials: who can have tokens made has many.
        let own = sessions.values().filter(|client| person(client.caller()) == person(caller)).count();
        let processes = client.turns().processes.available_permits();
        let left = if own >= SESSIONS_OF_PERSON_MAX || processes < self.servers.len() {
            longest_idle(&mut sessions, caller, IDLE_ENOUGH.min(self.idle))
        } else {
            None
        };
        let full = sessions.len() >= CLIENTS_MAX || (own >= SESSIONS_OF_PERSON_MAX && left.is_none());
        if !full {
            sessions.insert(id.clone(), Arc::clone(&client));
        }
        drop(sessions);
        if let Some(left) = left {
            left.close();
        }
        Ok((!full).then_some((id, client)))
    }

    /// Finds a caller's own session. A session of somebody else and none at all are the same.
    pub(crate) fn find(&self, id: &str, caller: &Caller) -> Option<Arc<Client>> {
        let found = self.sessions().get(id).map(Arc::clone);
        found.filter(|client| who(client.caller()) == who(caller))
    }

    /// The caller's client from 2026-07-28 on.
    pub(crate) fn shared_by(&self, caller: &Arc<Caller>) -> Result<Option<Arc<Client>>, Fault> {
        let mut shared = self.shared();
        if let Some(client) = shared.get(&who(caller)) {
            return Ok(Some(Arc::clone(client)));
        }
        // Of one person: whoever can have tokens made has many, each with other scopes.
        let own = shared.values().filter(|client| person(client.caller()) == person(caller)).count();
        let left = if own >= SESSIONS_OF_PERSON_MAX { longest_idle(&mut shared, caller, Duration::ZERO) } else { None };
        if shared.len() >= CLIENTS_MAX || (own >= SESSIONS_OF_PERSON_MAX && left.is_none()) {
            return Ok(None);
        }
        let client = self.client(caller, None)?;
        shared.insert(who(caller), Arc::clone(&client));
        drop(shared);
        if let Some(left) = left {
            left.close();
        }
        Ok(Some(client))
    }

    /// Ends a caller's own session. Says whether there was one.
    pub(crate) fn end(&self, id: &str, caller: &Caller) -> bool {
        let Some(client) = self.find(id, caller) else { return false };
        self.sessions().remove(id);
        client.close();
        true
    }

    /// Lets clients go that have been idle for long.
    pub fn sweep(&self) {
        let now = Instant::now();
        for client in self.sessions().values().chain(self.shared().values()) {
            client.sweep(now);
        }
        let idle = |client: &Arc<Client>| client.is_idle(now, self.idle);
        let mut ended: Vec<Arc<Client>> = Vec::new();
        self.sessions().retain(|_, client| !idle(client) || drop_into(&mut ended, client));
        self.shared().retain(|_, client| !idle(client) || drop_into(&mut ended, client));
        for client in ended {
            client.close();
        }
    }

    /// Ends every client.
    pub fn close(&self) {
        let mut clients: Vec<Arc<Client>> = self.sessions().drain().map(|(_, client)| client).collect();
        clients.extend(self.shared().drain().map(|(_, client)| client));
        for client in clients {
            client.close();
        }
    }

    /// Denies and records what the door itself refuses.
    pub(crate) fn refuse(&self, caller: &Arc<Caller>, reason: ReasonCode, bytes: Vec<u8>) -> Option<CallId> {
        let route = Route {
            door: Door::McpHttp,
            caller: Arc::clone(caller),
            trajectory: TrajectoryId::from_bytes([0; 16]),
            server: self.servers.first()?.name.clone(),
            supported: &[],
        };
        let listing = Arc::new(Listing::default());
        let proposal = Proposal::new(&route, Ask::Unknown, listing, bytes, 0..0, self.parts.clock.now());
        self.parts.monitor.refuse(proposal, reason).call()
    }

    fn client(&self, caller: &Arc<Caller>, hello: Option<Message>) -> Result<Arc<Client>, Fault> {
        let mut random = [0u8; 10];
        self.parts.entropy.fill(&mut random)?;
        let trajectory = TrajectoryId::uuid_v7(self.parts.clock.now().unix_us / 1_000, random);
        let turns = Turns {
            own: self.turns.of(caller),
            all: Arc::clone(&self.all),
            long: self.long.of(caller),
            processes: self.processes.of(caller),
            processes_max: self.processes.max(),
            unread: self.unread.of(caller),
        };
        Ok(Client::new(self.parts.clone(), Arc::clone(&self.servers), Arc::clone(caller), trajectory, hello, turns))
    }

    fn sessions(&self) -> MutexGuard<'_, HashMap<String, Arc<Client>>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn shared(&self) -> MutexGuard<'_, HashMap<Who, Arc<Client>>> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes out the client of this person that has been idle for longest, if that is long enough: many go away without a word.
fn longest_idle<K: Clone + Eq + std::hash::Hash>(
    clients: &mut HashMap<K, Arc<Client>>,
    caller: &Caller,
    enough: Duration,
) -> Option<Arc<Client>> {
    let now = Instant::now();
    let own = clients.iter().filter(|(_, client)| person(client.caller()) == person(caller));
    let idle = own.filter(|(_, client)| client.is_idle(now, enough));
    let key = idle.min_by_key(|(_, client)| client.last_used()).map(|(key, _)| key.clone())?;
    clients.remove(&key)
}

/// A person, whatever the credential and the agent.
fn person(caller: &Caller) -> (&TenantId, &UserId) {
    (caller.tenant(), caller.user())
}

fn drop_into(ended: &mut Vec<Arc<Client>>, client: &Arc<Client>) -> bool {
    ended.push(Arc::clone(client));
    false
}

fn who(caller: &Caller) -> Who {
    let (tenant, user, agent) = (caller.tenant().clone(), caller.user().clone(), caller.agent().clone());
    (tenant, user, agent, caller.scopes().to_vec(), caller.kind())
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parts").field("monitor", &self.monitor).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Hub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hub").field("servers", &self.servers).finish_non_exhaustive()
    }
}
