//! What `refmon serve` answers beside MCP: the APIs of `refmon-server`, over this process's own stores and journal.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;
use http::{Request, Response};
use refmon_audit::commitments::KeyFolder;
use refmon_core::caller::Caller;
use refmon_core::ports::{Clock, Commitments as _, Fault, Journal as _, Wait};
use refmon_core::record::Deed;
use refmon_gateway::http::{Answering, Beside};
use refmon_gateway::session::Observer;
use refmon_gateway::system::System;
use refmon_server::{Body, Halt, Halts, Parts, Server};
use refmon_store::authority::Switch;

use crate::access;
use crate::commands::grant::act;
use crate::config::ConfigError;
use crate::halts;
use crate::home::{Assembled, Home};
use crate::waiting::Evidence;

/// The APIs, behind the gateway's port.
pub(crate) struct Apis(Arc<Server>);

impl Apis {
    pub(crate) fn new(home: &Home, parts: &Assembled, observer: Arc<dyn Observer>) -> Result<Self> {
        let halts = TenantHalts {
            configured: home.config.authority.halted,
            switch: home.switch(),
            keys: home.keys()?,
            journal: Arc::clone(&parts.journal),
            clock: Arc::clone(&parts.clock),
            observer,
        };
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
        Ok(Self(Arc::new(Server::new(Arc::new(halts), parts, secure)?)))
    }

    /// Gives up, every second, what hosts do not report in time.
    pub(crate) fn sweeping(&self) -> Sweeping {
        let server = Arc::clone(&self.0);
        let sweeps = tokio::spawn(async move {
            let mut every = tokio::time::interval(Duration::from_secs(1));
            loop {
                every.tick().await;
                let server = Arc::clone(&server);
                drop(tokio::task::spawn_blocking(move || server.sweep()).await);
            }
        });
        Sweeping { sweeps, server: Arc::clone(&self.0) }
    }
}

/// What is done until the gateway stops.
pub(crate) struct Sweeping {
    sweeps: tokio::task::JoinHandle<()>,
    server: Arc<Server>,
}

impl Sweeping {
    /// Gives up what no host has reported.
    pub(crate) async fn end(self) {
        self.sweeps.abort();
        let Self { server, .. } = self;
        drop(tokio::task::spawn_blocking(move || server.end()).await);
    }
}

impl Beside for Apis {
    fn body_bytes_max(&self, path: &str) -> Option<usize> {
        self.0.body_bytes_max(path)
    }

    fn public(&self, head: &http::request::Parts) -> Option<Response<Body>> {
        self.0.public(head)
    }

    fn answer<'a>(&'a self, caller: Arc<Caller>, request: Request<Bytes>) -> Answering<'a> {
        Box::pin(self.0.answer(caller, request))
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
