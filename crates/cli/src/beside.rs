//! What `refmon serve` answers beside MCP: the APIs of `refmon-server`, over this process's own stores and journal.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;
use http::{Request, Response};
use refmon_audit::commitments::KeyFolder;
use refmon_console::Console;
use refmon_core::caller::Caller;
use refmon_core::ids::HoldId;
use refmon_core::ports::{Clock, Commitments as _, Fault, Journal as _, Wait};
use refmon_core::record::{Deed, Resolved};
use refmon_gateway::http::{Answering, Beside, Visiting};
use refmon_gateway::session::Observer;
use refmon_gateway::system::System;
use refmon_server::holds::{Decided, Query};
use refmon_server::{Body, Halt, Halts, Holds, Parts, Server};
use refmon_store::Stores;
use refmon_store::authority::Switch;
use refmon_store::desk::{self, Place};
use refmon_store::holds::HoldState;
use serde_json::Value;

use crate::access;
use crate::commands::grant::act;
use crate::config::ConfigError;
use crate::halts;
use crate::home::{Assembled, Home};
use crate::queue;
use crate::waiting::Evidence;
use crate::webhook::Webhook;

/// The APIs, behind the gateway's port.
pub(crate) struct Apis {
    server: Arc<Server>,
    holds: Arc<TenantHolds>,
    /// Who is told of calls that wait, and where those are kept.
    webhook: Mutex<Option<(Webhook, Stores)>>,
    console: Option<Console>,
}

impl Apis {
    pub(crate) fn new(home: &Arc<Home>, parts: &Assembled, observer: Arc<dyn Observer>) -> Result<Self> {
        let halts = TenantHalts {
            configured: home.config.authority.halted,
            switch: home.switch(),
            keys: home.keys()?,
            journal: Arc::clone(&parts.journal),
            clock: Arc::clone(&parts.clock),
            observer: Arc::clone(&observer),
        };
        let holds = Arc::new(TenantHolds {
            stores: home.stores()?,
            keys: home.keys()?,
            journal: Arc::clone(&parts.journal),
            clock: Arc::clone(&parts.clock),
            observer,
        });
        let access = &home.config.access;
        let nothing = || ConfigError::new(format!("{} has no [[server]]", home.file.display()));
        let parts = Parts {
            monitor: Arc::clone(&parts.monitor),
            clock: Arc::clone(&parts.clock),
            entropy: Arc::new(System::new()),
            servers: access::servers(home)?.ok_or_else(nothing)?,
            directories: access::directories(home)?,
            origin: access.origin(),
            outcome_seconds: access.outcome_seconds(),
        };
        let secure = home.config.listen.tls.is_some() || home.config.listen.behind_tls;
        let queue: Arc<dyn Holds> = Arc::<TenantHolds>::clone(&holds);
        let webhook = home.webhook()?.map(|webhook| Ok::<_, anyhow::Error>((webhook, home.stores()?))).transpose()?;
        let server = Arc::new(Server::new(Arc::new(halts), queue, parts, secure)?);
        Ok(Self { server, holds, webhook: Mutex::new(webhook), console: None })
    }

    /// With the pages of a console, which decides where `/v1/holds` does.
    pub(crate) fn with_console(mut self, console: impl FnOnce(Arc<TenantHolds>) -> Result<Console>) -> Result<Self> {
        self.console = Some(console(Arc::clone(&self.holds))?);
        Ok(self)
    }

    /// Gives up, every second, what hosts do not report in time, and forgets what was held and is over.
    pub(crate) fn sweeping(&self) -> Sweeping {
        let (server, holds) = (Arc::clone(&self.server), Arc::clone(&self.holds));
        let webhook = self.webhook.lock().unwrap_or_else(PoisonError::into_inner).take();
        let (clock, observer) = (Arc::clone(&self.holds.clock), Arc::clone(&self.holds.observer));
        let tells = webhook.map(|(webhook, stores)| tokio::spawn(webhook.run(stores, clock, observer)));
        let sweeps = tokio::spawn(async move {
            let mut every = tokio::time::interval(Duration::from_secs(1));
            loop {
                every.tick().await;
                let (server, holds) = (Arc::clone(&server), Arc::clone(&holds));
                let sweep = move || {
                    server.sweep();
                    holds.sweep();
                };
                drop(tokio::task::spawn_blocking(sweep).await);
            }
        });
        Sweeping { sweeps, tells, server: Arc::clone(&self.server) }
    }
}

/// What is done until the gateway stops.
pub(crate) struct Sweeping {
    sweeps: tokio::task::JoinHandle<()>,
    tells: Option<tokio::task::JoinHandle<()>>,
    server: Arc<Server>,
}

impl Sweeping {
    /// Gives up what no host has reported.
    pub(crate) async fn end(self) {
        self.sweeps.abort();
        if let Some(tells) = &self.tells {
            tells.abort();
        }
        let Self { server, .. } = self;
        drop(tokio::task::spawn_blocking(move || server.end()).await);
    }
}

impl Beside for Apis {
    fn body_bytes_max(&self, path: &str) -> Option<usize> {
        self.server.body_bytes_max(path)
    }

    fn public(&self, head: &http::request::Parts) -> Option<Response<Body>> {
        let asset = self.console.as_ref().and_then(|console| console.asset(head));
        asset.or_else(|| self.server.public(head))
    }

    fn page_bytes_max(&self, path: &str) -> Option<usize> {
        self.console.as_ref()?.body_bytes_max(path)
    }

    fn visitor<'a>(&'a self, head: &'a mut http::request::Parts) -> Visiting<'a> {
        Box::pin(async move { self.console.as_ref()?.visitor(head).await })
    }

    fn visit<'a>(&'a self, request: Request<Bytes>) -> Answering<'a> {
        match &self.console {
            Some(console) => Box::pin(console.visit(request)),
            None => Box::pin(std::future::ready(Response::default())),
        }
    }

    fn answer<'a>(&'a self, caller: Arc<Caller>, request: Request<Bytes>) -> Answering<'a> {
        Box::pin(self.server.answer(caller, request))
    }
}

/// The same switches as those of `refmon halt --tenant`.
struct TenantHalts {
    configured: bool,
    switch: Switch,
    keys: KeyFolder,
    journal: Arc<Evidence>,
    clock: Arc<dyn Clock>,
    observer: Arc<dyn Observer>,
}

impl TenantHalts {
    fn record(&self, caller: &Caller, deed: Deed) -> Result<()> {
        let by = self.keys.subject(caller)?;
        Ok(self.journal.append(&act(caller, by, self.clock.now(), deed), Wait::Durable)?)
    }

    /// The caller learns that it did not work, the operator why.
    fn failed(&self, error: &anyhow::Error) -> Fault {
        self.observer.notice(&format!("a halt by the API failed: {error:#}"));
        Fault::unavailable("the switch")
    }
}

impl Halts for TenantHalts {
    fn list(&self, caller: &Caller) -> Result<Vec<Halt>, Fault> {
        let failed = |error: std::io::Error| self.failed(&error.into());
        let mut found = Vec::new();
        if self.configured || self.switch.is_on().map_err(failed)? {
            found.push(Halt::Operator);
        }
        if let Some(halts::Words { reason, by, at }) = halts::on(&self.switch, caller).map_err(failed)? {
            found.push(Halt::Tenant { reason, by, at });
        }
        Ok(found)
    }

    fn put_on(&self, caller: &Caller, reason: Option<&str>) -> Result<bool, Fault> {
        let now = self.clock.now().unix_us;
        let made = halts::put_on(&self.switch, caller, reason, now, |deed| self.record(caller, deed));
        made.map_err(|error| self.failed(&error))
    }

    fn take_off(&self, caller: &Caller) -> Result<bool, Fault> {
        halts::take_off(&self.switch, caller, |deed| self.record(caller, deed)).map_err(|error| self.failed(&error))
    }
}

/// The queue for callers with a credential. It is the one of `refmon holds`, but nobody is at the machine here.
pub(crate) struct TenantHolds {
    pub(crate) stores: Stores,
    pub(crate) keys: KeyFolder,
    journal: Arc<Evidence>,
    pub(crate) clock: Arc<dyn Clock>,
    observer: Arc<dyn Observer>,
}

impl TenantHolds {
    /// The caller learns that it did not work, the operator why.
    pub(crate) fn failed(&self, error: impl Into<anyhow::Error>) -> Fault {
        self.observer.notice(&format!("the queue of held calls failed: {:#}", error.into()));
        Fault::unavailable("the queue")
    }

    /// Decides at the desk of a credential.
    pub(crate) fn resolve(
        &self,
        caller: &Caller,
        id: HoldId,
        decision: (Resolved, Option<&str>),
    ) -> Result<desk::Decided, Fault> {
        let by = self.keys.subject(caller)?;
        let (desk, now) = (self.stores.desk(caller), self.clock.now());
        let decided = queue::decide(&desk, id, decision, now, (self.journal.as_ref(), by), caller.tenant());
        decided.map_err(|error| self.failed(error))
    }

    fn sweep(&self) {
        let now = self.clock.now();
        if let Err(error) = self.stores.expire_holds(now).and_then(|()| self.stores.remove_old_holds(now)) {
            drop(self.failed(error));
        }
    }
}

impl Holds for TenantHolds {
    fn list(&self, caller: &Caller, query: &Query) -> Result<Value, Fault> {
        let after = query.after.map(|(risk, placed_us, id)| Place { risk, placed_us, id });
        let state = query.state.and_then(HoldState::parse);
        let page = self.stores.desk(caller).list(state, after, query.limit, self.clock.now());
        page.map(|page| queue::page(&page)).map_err(|error| self.failed(error))
    }

    fn find(&self, caller: &Caller, id: HoldId) -> Result<Option<Value>, Fault> {
        let found = self.stores.desk(caller).find(id, self.clock.now()).map_err(|error| self.failed(error))?;
        Ok(found.map(|seen| queue::value(&seen, true)))
    }

    fn decide(&self, caller: &Caller, id: HoldId, resolved: Resolved, reason: Option<&str>) -> Result<Decided, Fault> {
        Ok(match self.resolve(caller, id, (resolved, reason))? {
            desk::Decided::Done(progress) => Decided::Done(queue::progress(id, progress, true)),
            desk::Decided::Unchanged(progress) => Decided::Unchanged(queue::progress(id, progress, false)),
            desk::Decided::NotPending(state) => Decided::NotPending(state.as_str()),
            desk::Decided::SamePerson => Decided::SamePerson,
            desk::Decided::Missing => Decided::Missing,
        })
    }

    fn figures(&self, caller: &Caller) -> Result<Option<Value>, Fault> {
        let found = self.stores.desk(caller).figures(self.clock.now()).map_err(|error| self.failed(error))?;
        Ok(found.map(|found| queue::figures(&found)))
    }
}
