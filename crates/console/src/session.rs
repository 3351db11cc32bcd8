//! Who is logged in.
//!
//! A session is 256 random bits in a cookie, kept here as a digest. It holds the credential that it began with, which is looked
//! at again for each request: a key that is revoked or has expired has no session. One person has few sessions, all have a
//! bounded number, and each ends: after half an hour without a request of the person's own, and after eight hours.
//!
//! INVARIANT: a login makes a new identifier, whatever came in the cookie.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use refmon_core::caller::Caller;
use refmon_core::digest::Hasher;
use refmon_core::ids::{TenantId, UserId};
use refmon_core::ports::{Clock, Entropy, Fault, Moment};
use refmon_core::secret::Secret;
use tokio::sync::Semaphore;

/// Nanoseconds without a request after which a session is over.
const IDLE_NS: u64 = 30 * 60 * 1_000_000_000;
/// Nanoseconds after which a session is over.
const ABSOLUTE_NS: u64 = 8 * 60 * 60 * 1_000_000_000;
/// Sessions of one person; the one that was idle for longest makes room.
const OF_PERSON_MAX: usize = 8;
/// Pages of one session that are made at the same time; more wait.
const TURNS_MAX: usize = 4;
/// Sessions of all.
const ALL_MAX: usize = 4_096;
/// Characters of an identifier: 32 bytes in base64url.
pub(crate) const ID_CHARS: usize = 43;

/// What somebody has logged in with.
#[derive(Debug)]
#[non_exhaustive]
pub enum Credential {
    /// An API key, as it was pasted.
    Key(Secret<String>),
}

/// Whether a credential is somebody's now.
pub type Looking<'a> = Pin<Box<dyn Future<Output = Option<Arc<Caller>>> + Send + 'a>>;

/// Looks at credentials. It tells the operator why one is refused, and the visitor never.
pub trait Credentials: Send + Sync {
    /// The caller that the credential stands for at this moment. Nobody is the person at the machine here.
    fn look_at<'a>(&'a self, credential: &'a Credential) -> Looking<'a>;
}

/// What tells one request of a session from another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Made {
    /// The person did something.
    ByPerson,
    /// A page looks by itself whether something is new. It keeps no session alive.
    ByPage,
}

/// A session, as one request sees it.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    digest: [u8; 32],
    credential: Arc<Credential>,
    /// Pages of the session that are made at the same time.
    pub(crate) turns: Arc<Semaphore>,
    /// What each form of the session carries.
    pub(crate) token: Arc<Secret<String>>,
}

#[derive(Debug)]
struct Kept {
    session: Session,
    who: (TenantId, UserId),
    began_ns: u64,
    seen_ns: u64,
}

/// All sessions.
pub(crate) struct Sessions {
    kept: Mutex<HashMap<[u8; 32], Kept>>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

impl Sessions {
    pub(crate) fn new(clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Self {
        Self { kept: Mutex::default(), clock, entropy }
    }

    /// Begins a session, and gives the identifier for its cookie.
    pub(crate) fn begin(&self, caller: &Caller, credential: Credential) -> Result<Secret<String>, Fault> {
        let (id, token) = (self.random()?, self.random()?);
        let now = self.clock.now();
        let who = (caller.tenant().clone(), caller.user().clone());
        let digest = digest(id.expose());
        let turns = Arc::new(Semaphore::new(TURNS_MAX));
        let session = Session { digest, credential: Arc::new(credential), turns, token: Arc::new(token) };
        let mut kept = self.kept();
        kept.retain(|_, one| one.lasts(now));
        let own = kept.iter().filter(|(_, one)| one.who == who);
        if own.clone().count() >= OF_PERSON_MAX {
            let idle = own.min_by_key(|(_, one)| one.seen_ns).map(|(digest, _)| *digest);
            idle.map(|idle| kept.remove(&idle));
        }
        if kept.len() >= ALL_MAX {
            return Err(Fault::unavailable("room for one more session"));
        }
        kept.insert(digest, Kept { session, who, began_ns: now.monotonic_ns, seen_ns: now.monotonic_ns });
        Ok(id)
    }

    /// The session of a cookie, and whom its credential stands for now. A credential that counts no more ends it.
    pub(crate) async fn find(
        &self,
        id: &str,
        made: Made,
        credentials: &dyn Credentials,
    ) -> Option<(Session, Arc<Caller>)> {
        let (session, who) = self.lasting(id, made)?;
        let caller = credentials.look_at(&session.credential).await;
        let same = |caller: &Arc<Caller>| (caller.tenant(), caller.user()) == (&who.0, &who.1);
        match caller.filter(same) {
            Some(caller) => Some((session, caller)),
            None => {
                self.end(&session);
                None
            }
        }
    }

    fn lasting(&self, id: &str, made: Made) -> Option<(Session, (TenantId, UserId))> {
        let digest = digest(id);
        let now = self.clock.now();
        let mut kept = self.kept();
        let one = kept.get_mut(&digest)?;
        if !one.lasts(now) {
            kept.remove(&digest);
            return None;
        }
        if made == Made::ByPerson {
            one.seen_ns = now.monotonic_ns;
        }
        Some((one.session.clone(), one.who.clone()))
    }

    /// Ends a session.
    pub(crate) fn end(&self, session: &Session) {
        self.kept().remove(&session.digest);
    }

    fn kept(&self) -> MutexGuard<'_, HashMap<[u8; 32], Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn random(&self) -> Result<Secret<String>, Fault> {
        let mut bytes = [0; 32];
        self.entropy.fill(&mut bytes)?;
        let text = URL_SAFE_NO_PAD.encode(bytes);
        drop(Secret::new(bytes));
        Ok(Secret::new(text))
    }
}

impl Kept {
    fn lasts(&self, now: Moment) -> bool {
        let since = |ns: u64| now.monotonic_ns.saturating_sub(ns);
        since(self.seen_ns) < IDLE_NS && since(self.began_ns) < ABSOLUTE_NS
    }
}

/// What is kept of an identifier: whoever reads our memory or a dump of it has no session.
fn digest(id: &str) -> [u8; 32] {
    let mut hasher = Hasher::new("refmon/console-session/v1");
    hasher.part(id.as_bytes());
    hasher.finish()
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

    use refmon_core::caller::IdentityKind;
    use refmon_core::ids::AgentId;

    use super::*;

    pub(crate) fn person(user: &str) -> Caller {
        let tenant = TenantId::parse("acme").unwrap();
        let (user, agent) = (UserId::parse(user).unwrap(), AgentId::parse("console").unwrap());
        Caller::authenticated(IdentityKind::ApiKey, tenant, user, agent, [])
    }

    #[derive(Default)]
    pub(crate) struct Hand(pub(crate) AtomicU64);

    impl Clock for Hand {
        fn now(&self) -> Moment {
            let seconds = self.0.load(Ordering::Relaxed);
            Moment { unix_us: seconds * 1_000_000, monotonic_ns: seconds * 1_000_000_000 }
        }
    }

    #[derive(Default)]
    pub(crate) struct Count(AtomicU8);

    impl Entropy for Count {
        fn fill(&self, buffer: &mut [u8]) -> Result<(), Fault> {
            buffer.fill(self.0.fetch_add(1, Ordering::Relaxed));
            Ok(())
        }
    }

    /// Keys are names of people; `revoked` is nobody's.
    #[derive(Debug, Default)]
    pub(crate) struct Names(pub(crate) Mutex<Vec<String>>);

    impl Credentials for Names {
        fn look_at<'a>(&'a self, credential: &'a Credential) -> Looking<'a> {
            let Credential::Key(key) = credential;
            let known = self.0.lock().unwrap().contains(key.expose());
            Box::pin(std::future::ready(known.then(|| Arc::new(person(key.expose())))))
        }
    }

    fn key(name: &str) -> Credential {
        Credential::Key(Secret::new(name.to_owned()))
    }

    #[test]
    fn a_session_ends_with_its_time_its_credential_and_its_logout() {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
            let clock = Arc::new(Hand::default());
            let sessions = Sessions::new(Arc::<Hand>::clone(&clock), Arc::new(Count::default()));
            let names = Names(Mutex::new(vec!["ada".to_owned()]));
            let id = sessions.begin(&person("ada"), key("ada")).unwrap();
            let there = |made| sessions.find(id.expose(), made, &names);
            assert!(there(Made::ByPerson).await.is_some());
            assert!(sessions.find("x", Made::ByPerson, &names).await.is_none());
            // A page that looks by itself keeps nothing alive.
            clock.0.store(29 * 60, Ordering::Relaxed);
            assert!(there(Made::ByPage).await.is_some());
            clock.0.store(31 * 60, Ordering::Relaxed);
            assert!(there(Made::ByPerson).await.is_none(), "idle");

            let id = sessions.begin(&person("ada"), key("ada")).unwrap();
            for minute in (31..31 + 8 * 60).step_by(20) {
                clock.0.store(minute * 60, Ordering::Relaxed);
                assert!(sessions.find(id.expose(), Made::ByPerson, &names).await.is_some());
            }
            clock.0.store((31 + 8 * 60) * 60, Ordering::Relaxed);
            assert!(sessions.find(id.expose(), Made::ByPerson, &names).await.is_none(), "after eight hours");

            let id = sessions.begin(&person("ada"), key("ada")).unwrap();
            names.0.lock().unwrap().clear();
            assert!(sessions.find(id.expose(), Made::ByPerson, &names).await.is_none());
            names.0.lock().unwrap().push("ada".to_owned());
            assert!(sessions.find(id.expose(), Made::ByPerson, &names).await.is_none(), "it does not come back");
        });
    }

    #[test]
    fn one_person_has_few_sessions_and_takes_nobody_elses() {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
            let clock = Arc::new(Hand::default());
            let sessions = Sessions::new(Arc::<Hand>::clone(&clock), Arc::new(Count::default()));
            let names = Names(Mutex::new(vec!["ada".to_owned(), "bob".to_owned()]));
            let bob = sessions.begin(&person("bob"), key("bob")).unwrap();
            let mut own = Vec::new();
            for second in 0..=OF_PERSON_MAX as u64 {
                clock.0.store(second, Ordering::Relaxed);
                own.push(sessions.begin(&person("ada"), key("ada")).unwrap());
            }
            assert!(sessions.find(own[0].expose(), Made::ByPerson, &names).await.is_none());
            for id in own[1..].iter().chain([&bob]) {
                assert!(sessions.find(id.expose(), Made::ByPerson, &names).await.is_some());
            }
        });
    }
}
