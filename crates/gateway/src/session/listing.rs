//! What the server lists: pins compared with contracts, answers filtered, refmon's own `tools/list`.
//!
//! A call is judged against what the server lists *now*. If that is not known, or the server said that it has
//! changed, refmon asks by itself before the call is judged, and the call waits.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use refmon_core::bundle::Listing;
use refmon_core::digest::Pin;
use refmon_core::ids::{Operation, ServerName, ToolName};
use refmon_core::record::Event;

use super::{Pending, Session};
use crate::definitions::Page;
use crate::message::{Kind, Message};
use crate::method::Cleared;
use crate::upstream::Outbound;

/// How long a call waits for refmon's own listing.
const LISTING_WAIT: Duration = Duration::from_secs(30);
/// How long a listing counts. Some servers change their tools without a word, and those from 2026-07-28 on tell only who
/// listens.
const LISTING_AGE: Duration = Duration::from_secs(60);
/// How long a server that did not list its tools is not asked again.
const LISTING_REST: Duration = Duration::from_secs(2);
/// Pages of one listing.
const PAGES_MAX: usize = 64;
/// How the canonical form of the identifiers of refmon's own requests begins.
pub(super) const OWN_ID: &str = "\"refmon/";
/// Listings for one call, if the server says in the middle of one that its tools changed.
const LISTINGS_MAX: usize = 4;

/// A definition that is not the one its contract was made for.
#[derive(Debug)]
pub struct Observed {
    /// The server that lists it.
    pub server: ServerName,
    /// The tool.
    pub tool: ToolName,
    /// The pin of what the server lists now.
    pub pin: Pin,
    /// Whether a contract describes a tool of this name.
    pub contracted: bool,
}

/// How the client asked for a list.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    /// Whether it was for the first page.
    pub(super) first: bool,
    /// [`Tools::announced`] at that time.
    pub(super) announced: u64,
}

/// The server's tools, as last listed.
#[derive(Default)]
pub(super) struct Tools {
    /// What the server lists, as far as that is known to be complete and current, and when it did.
    current: Option<(Arc<Listing>, Instant)>,
    own: Option<Own>,
    /// When a listing of refmon's own failed.
    failed: Option<Instant>,
    listings: u64,
    /// How often the server has said that its tools changed. A listing that was asked for before the last time says
    /// nothing.
    pub(super) announced: u64,
}

/// A listing of refmon's own that is under way.
struct Own {
    pins: Vec<(ToolName, Pin)>,
    pages: usize,
    meta: Vec<u8>,
    done: Option<bool>,
}

impl Tools {
    /// What the server lists, if it has said so lately.
    fn fresh(&self) -> Option<Arc<Listing>> {
        self.current.as_ref().filter(|(_, at)| at.elapsed() < LISTING_AGE).map(|(listing, _)| Arc::clone(listing))
    }

    fn know(&mut self, listing: Listing) {
        self.current = Some((Arc::new(listing), Instant::now()));
    }
}

impl Session {
    /// What the server lists now. Empty, so that every call is refused, if that cannot be found out.
    pub(super) fn listing_for(&self, call: &Message) -> Arc<Listing> {
        if let Some(current) = self.state().tools.fresh() {
            return current;
        }
        // Outside of a runtime this is just the call.
        tokio::task::block_in_place(|| self.listed(call))
    }

    fn listed(&self, call: &Message) -> Arc<Listing> {
        let _asking = self.asking.lock().unwrap_or_else(PoisonError::into_inner);
        // Whoever waited for a listing that failed does not wait for another one.
        if self.state().tools.failed.is_some_and(|at| at.elapsed() < LISTING_REST) {
            return Arc::default();
        }
        for _ in 0..LISTINGS_MAX {
            if self.state().tools.fresh().is_some() {
                break;
            }
            if !self.list_tools(call) {
                self.state().tools.failed = Some(Instant::now());
                break;
            }
        }
        self.state().tools.fresh().unwrap_or_default()
    }

    pub(super) fn tools_changed(&self) {
        let mut state = self.state();
        state.tools.current = None;
        state.tools.announced = state.tools.announced.saturating_add(1);
    }

    /// Asks the server for its tools and waits for the answer. `false` if there was none.
    fn list_tools(&self, call: &Message) -> bool {
        let mut state = self.state();
        let announced = state.tools.announced;
        state.tools.own = Some(Own { pins: Vec::new(), pages: 0, meta: protocol_meta(call), done: None });
        drop(state);
        self.ask_for_page(None);
        let end = Instant::now() + LISTING_WAIT;
        let mut state = self.state();
        loop {
            let done = state.tools.own.as_ref().is_none_or(|own| own.done.is_some());
            let left = end.saturating_duration_since(Instant::now());
            if done || state.server_gone || left.is_zero() {
                break;
            }
            state = match self.changed.wait_timeout(state, left) {
                Ok((state, _)) => state,
                Err(poisoned) => poisoned.into_inner().0,
            };
        }
        let finished = state.tools.own.take().filter(|own| own.done == Some(true));
        let listed = finished.is_some();
        if let Some(own) = finished.filter(|_| state.tools.announced == announced) {
            state.tools.know(Listing::new(own.pins));
        }
        drop(state);
        if listed {
            self.compare();
        } else {
            self.observer.notice("the server did not list its tools, so no tool can be called");
        }
        listed
    }

    fn ask_for_page(&self, cursor: Option<&str>) {
        let mut state = self.state();
        state.tools.listings = state.tools.listings.saturating_add(1);
        let id = format!("refmon/{}/{}", self.route.trajectory, state.tools.listings);
        let meta = state.tools.own.as_ref().map(|own| own.meta.clone()).unwrap_or_default();
        state.from_client.insert(format!("\"{id}\""), Pending::OwnListing);
        drop(state);
        let mut params = Vec::new();
        if !meta.is_empty() {
            params.push(format!("\"_meta\":{}", String::from_utf8_lossy(&meta)));
        }
        if let Some(cursor) = cursor {
            params.push(format!("\"cursor\":{}", serde_json::Value::from(cursor)));
        }
        let request =
            format!(r#"{{"jsonrpc":"2.0","id":"{id}","method":"tools/list","params":{{{}}}}}"#, params.join(","));
        if self.to_server.send(Outbound::cleared(Cleared::own_listing(request.into_bytes()))).is_err() {
            self.own_listing_failed();
        }
    }

    pub(super) fn own_listing_failed(&self) {
        if let Some(own) = self.state().tools.own.as_mut() {
            own.done = Some(false);
        }
        self.changed.notify_all();
    }

    pub(super) fn own_listing_page(&self, message: &Message) {
        let Some(page) = Page::read(message) else { return self.own_listing_failed() };
        let mut state = self.state();
        let Some(own) = state.tools.own.as_mut() else { return };
        own.pages = own.pages.saturating_add(1);
        own.pins.extend(page.tools.iter().filter_map(|tool| Some((tool.name.clone()?, tool.pin))));
        let too_many = own.pages > PAGES_MAX || own.pins.len() > refmon_core::limits::TOOLS_MAX;
        let next = page.next.filter(|_| !too_many);
        if next.is_none() {
            own.done = Some(!too_many);
        }
        drop(state);
        match next {
            Some(cursor) => self.ask_for_page(Some(&cursor)),
            None => self.changed.notify_all(),
        }
    }

    /// Takes note of a page on its way to the client, and cuts out what the caller could not call.
    /// `None` if the answer is no list of tools: what cannot be filtered does not pass.
    pub(super) fn filter_tools(&self, message: &Message, asked: Asked) -> Option<Vec<u8>> {
        if matches!(message.kind, Kind::Error(_)) {
            return Some(message.bytes.clone());
        }
        let page = Page::read(message)?;
        let listed: Vec<(ToolName, Pin)> =
            page.tools.iter().filter_map(|tool| Some((tool.name.clone()?, tool.pin))).collect();
        let mut state = self.state();
        let stale = asked.announced != state.tools.announced;
        if stale {
            // The tools have changed since the client asked; what it gets is filtered, and looked at again.
            state.tools.current = None;
        } else if asked.first && page.next.is_none() {
            state.tools.know(Listing::new(listed));
        } else {
            // A page of a longer list can only show that something changed.
            let same = |(current, _): &(Arc<Listing>, Instant)| {
                listed.iter().all(|(name, pin)| current.pin(name) == Some(*pin))
            };
            state.tools.current = state.tools.current.take().filter(same);
        }
        drop(state);
        self.compare();
        let listing = page.listing();
        Some(page.keep(message, |tool| {
            tool.name.as_ref().is_some_and(|name| {
                let operation = Operation::Tool(name.clone());
                self.monitor.shows(&self.route.caller, &self.route.server, &operation, &listing)
            })
        }))
    }

    /// Reports tools that are not what their contracts were made for, each once.
    fn compare(&self) {
        let bundle = self.monitor.bundle();
        let mut state = self.state();
        let mut strange = Vec::new();
        let current = state.tools.fresh().unwrap_or_default();
        for (tool, pin) in current.pins() {
            let (tool, pin) = (tool.clone(), *pin);
            let contract = bundle.tool(&self.route.server, &Operation::Tool(tool.clone()));
            let fits = contract.is_some_and(|known| known.contract.pin == Some(pin));
            if !fits && state.quarantined.insert((tool.clone(), pin)) {
                let server = self.route.server.clone();
                strange.push(Observed { server, tool, pin, contracted: contract.is_some() });
            }
        }
        drop(state);
        for observed in strange {
            let event = Event::Quarantined { server: self.route.server.clone(), tool: observed.tool.clone() };
            if let Err(fault) = self.monitor.note(event) {
                self.observer.notice(&format!("a quarantine could not be recorded: {fault}"));
            }
            self.observer.quarantined(&observed);
        }
    }
}

/// The protocol's own members of a request's `_meta` (2026-07-28), which every request of that era carries.
fn protocol_meta(call: &Message) -> Vec<u8> {
    let meta = call.members("_meta");
    let kept: Vec<Vec<u8>> = meta
        .all()
        .iter()
        .filter(|member| member.key.starts_with("io.modelcontextprotocol/"))
        .map(|member| {
            [serde_json::Value::from(member.key.as_ref()).to_string().as_bytes(), b":", member.value].concat()
        })
        .collect();
    if kept.is_empty() { Vec::new() } else { [&b"{"[..], &kept.join(&b","[..]), b"}"].concat() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_listed_long_ago_says_nothing() {
        let mut tools = Tools::default();
        assert!(tools.fresh().is_none());
        tools.know(Listing::default());
        assert!(tools.fresh().is_some());
        let long_ago = Instant::now().checked_sub(LISTING_AGE).unwrap();
        tools.current = tools.current.take().map(|(listing, _)| (listing, long_ago));
        assert!(tools.fresh().is_none());
    }
}
