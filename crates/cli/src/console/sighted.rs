//! The console's port.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use refmon_console::session::Looking;
use refmon_console::sight::{
    Asked, Budgets, CallQuery, Calls, Compared, Decided, Explained, Health, Hold, Life, Matrix, Policies, Question,
    Queue, QueueQuery, Reach, Rights, Server,
};
use refmon_console::{Console, Credential, Credentials, Parts, Sight};
use refmon_core::caller::Caller;
use refmon_core::digest::BundleDigest;
use refmon_core::ids::{CallId, HoldId};
use refmon_core::monitor::Monitor;
use refmon_core::ports::{Clock, Fault, Moment, ScopeGrants as _};
use refmon_core::record::Resolved;
use refmon_gateway::session::Observer;
use refmon_gateway::system::System;
use refmon_policy::Loaded;
use refmon_store::desk;

use super::{agents, evidence, held, rules, servers, standing};
use crate::beside::TenantHolds;
use crate::entrance::Entrance;
use crate::home::{Assembled, Home};
use crate::waiting::Evidence;

/// The scope for looking at the tenant's calls, agents, servers and rules.
const VIEW: &str = "refmon:view";

/// Puts the console together.
pub(crate) fn open(
    home: &Arc<Home>,
    parts: &Assembled,
    holds: Arc<TenantHolds>,
    (entrance, observer): (&Arc<Entrance>, Arc<dyn Observer>),
    port: u16,
) -> Result<Console> {
    let clock = Arc::clone(&parts.clock);
    let sighted = Sighted {
        home: Arc::clone(home),
        monitor: Arc::clone(&parts.monitor),
        holds,
        clock: Arc::clone(&clock),
        loaded: Mutex::default(),
        reading: Mutex::default(),
        comparing: Mutex::default(),
        journal: Arc::clone(&parts.journal),
        observer,
    };
    let secure = home.config.listen.tls.is_some() || home.config.listen.behind_tls;
    let (sight, credentials) = (Arc::new(sighted), Arc::new(Keys(Arc::clone(entrance))));
    Ok(Console::new(Parts { sight, credentials, clock, entropy: Arc::new(System::new()), secure, port }))
}

/// The credentials of people at the console.
struct Keys(Arc<Entrance>);

impl Credentials for Keys {
    fn look_at<'a>(&'a self, credential: &'a Credential) -> Looking<'a> {
        Box::pin(async move {
            match credential {
                Credential::Key(key) => self.0.by_key(key.expose()).await,
                // A way to log in that this door does not offer.
                _ => None,
            }
        })
    }
}

/// What the console sees.
pub(super) struct Sighted {
    pub(super) home: Arc<Home>,
    pub(super) monitor: Arc<Monitor>,
    pub(super) holds: Arc<TenantHolds>,
    clock: Arc<dyn Clock>,
    /// What was loaded last, and of which bundle in force.
    loaded: Mutex<Option<(BundleDigest, Arc<Loaded>)>>,
    /// Held by who brings the index up to the journal: two at a time would do the same work twice.
    pub(super) reading: Mutex<()>,
    /// Held by who asks a server what it lists.
    pub(super) comparing: Mutex<()>,
    pub(super) journal: Arc<Evidence>,
    observer: Arc<dyn Observer>,
}

impl Sighted {
    pub(super) fn now(&self) -> Moment {
        self.clock.now()
    }

    /// The visitor learns that it did not work, the operator why.
    pub(super) fn failed(&self, error: impl Into<anyhow::Error>) -> Fault {
        self.observer.notice(&format!("a page of the console failed: {:#}", error.into()));
        Fault::unavailable("the console")
    }

    /// The caller with what was given for a time.
    pub(super) fn granted(&self, caller: &Caller) -> Result<Caller, Fault> {
        Ok(caller.with_grants(&self.holds.stores.in_force(caller, self.now())?))
    }

    /// The sources of the bundle in force; of what is on disk, if that is another one by now.
    pub(super) fn loaded(&self) -> Result<Arc<Loaded>, Fault> {
        let digest = self.monitor.bundle().digest();
        let mut kept = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, loaded)) = kept.as_ref().filter(|(of, _)| *of == digest) {
            return Ok(Arc::clone(loaded));
        }
        let loaded = Arc::new(self.home.load().map_err(|error| self.failed(error))?);
        // What is not in force yet, or was refused, is read again.
        if loaded.bundle.digest() == digest {
            *kept = Some((digest, Arc::clone(&loaded)));
        }
        Ok(loaded)
    }
}

impl Sight for Sighted {
    fn rights(&self, visitor: &Caller) -> Result<Rights, Fault> {
        let visitor = self.granted(visitor)?;
        let views = visitor.scopes().iter().any(|scope| scope.as_str() == VIEW);
        let reach = if views { Reach::Tenant } else { Reach::Holds };
        Ok(Rights { reach, decides: desk::decidable(&visitor).collect() })
    }

    fn queue(&self, visitor: &Caller, query: &QueueQuery) -> Result<Queue, Fault> {
        held::queue(self, visitor, query)
    }

    fn hold(&self, visitor: &Caller, id: HoldId) -> Result<Option<(Hold, u64)>, Fault> {
        held::hold(self, visitor, id)
    }

    fn decide(&self, visitor: &Caller, id: HoldId, resolved: Resolved, reason: Option<&str>) -> Result<Decided, Fault> {
        Ok(held::decided(self.holds.resolve(visitor, id, (resolved, reason))?))
    }

    fn calls(&self, visitor: &Caller, query: &CallQuery) -> Result<Calls, Fault> {
        evidence::calls(self, visitor, query).map_err(|error| self.failed(error))
    }

    fn life(&self, visitor: &Caller, id: CallId) -> Result<Option<Life>, Fault> {
        evidence::life(self, visitor, id).map_err(|error| self.failed(error))
    }

    fn agents(&self, visitor: &Caller, asked: &Asked) -> Result<Matrix, Fault> {
        agents::matrix(self, visitor, asked).map_err(|error| self.failed(error))
    }

    fn servers(&self, visitor: &Caller) -> Result<Vec<Server>, Fault> {
        servers::all(self, visitor).map_err(|error| self.failed(error))
    }

    fn compare(&self, _: &Caller, server: &str) -> Result<Option<Compared>, Fault> {
        servers::compare(self, server)
    }

    fn policies(&self, _: &Caller) -> Result<Policies, Fault> {
        Ok(rules::policies(self, self.loaded()?.as_ref()))
    }

    fn explain(&self, visitor: &Caller, question: &Question) -> Result<Explained, Fault> {
        let loaded = self.loaded()?;
        rules::explain(self, visitor, &loaded, question).map_err(|error| self.failed(error))
    }

    fn budgets(&self, visitor: &Caller) -> Result<Budgets, Fault> {
        standing::budgets(self, visitor).map_err(|error| self.failed(error))
    }

    fn health(&self, visitor: &Caller) -> Result<Health, Fault> {
        Ok(standing::health(self, visitor))
    }
}
