//! What servers announce, between the eras. Up to 2025-11-25 a client subscribes to single resources and hears of
//! everything on its one stream; from 2026-07-28 on it opens a stream with a filter.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http::HeaderMap;
use refmon_core::json::Strictness;
use serde_json::{Map, Value, json};
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::task::{AbortHandle, JoinSet};

use super::SUBSCRIPTION;
use super::client::{Client, Era, Out};
use super::peer::{Event, Exchange};
use super::reach::Connected;
use crate::message::{Id, Kind, Message};
use crate::reply::Reply;

/// How a server says that it will notify.
const ACKNOWLEDGED: &str = "notifications/subscriptions/acknowledged";
/// How long a server may take to say so, or to take a subscription.
const SUBSCRIBED: Duration = Duration::from_secs(10);
/// Bytes of a resource's URI, and resources, that a client may subscribe to: an older one at a newer server, a newer one with
/// one stream.
const URI_BYTES_MAX: usize = 8 * 1024;
const SUBSCRIBED_MAX: usize = 256;
/// The filter's member for single resources.
const RESOURCES: &str = "resourceSubscriptions";

// === a newer client's stream ===

impl Client {
    /// Answers `subscriptions/listen` from servers of which at least one is of the older era, or from several.
    pub(super) async fn listen_to(
        self: &Arc<Self>,
        found: &[(usize, Arc<Connected>)],
        message: &Message,
        id: &Id,
        out: &mpsc::Sender<Out>,
    ) {
        let wanted = message.value("notifications").and_then(|filter| serde_json::from_slice(filter).ok());
        let Some(Value::Object(mut filter)) = wanted else {
            return self.fail(message, "`notifications` must be an object", out).await;
        };
        let uris = texts(filter.get(RESOURCES));
        // Each one is judged and recorded for each server.
        if uris.len() > SUBSCRIBED_MAX || uris.iter().any(|uri| uri.len() > URI_BYTES_MAX) {
            return self.fail(message, "too many subscriptions, or too long a URI", out).await;
        }
        let meta = json!({ SUBSCRIPTION: serde_json::from_slice::<Value>(&id.spelled).unwrap_or_default() });
        // Nothing that is announced from now on is missed.
        let heard = self.hear();
        let (mut granted, mut held, mut streams) = (Vec::new(), Vec::new(), JoinSet::new());
        for (index, connected) in found {
            match connected.era {
                Era::Legacy if !connected.notifies() => {}
                Era::Legacy => {
                    for uri in uris.iter().take_while(|_| !out.is_closed()) {
                        if self.hold(*index, connected, uri).await {
                            granted.push(uri.clone());
                            held.push((*index, Arc::clone(connected), uri.clone()));
                        }
                    }
                }
                Era::Modern => {
                    let mut exchange = connected.peer.ask(message, Vec::new(), HeaderMap::new()).await;
                    if let Ok(acknowledged) = acknowledgement(&mut exchange).await {
                        granted.extend(acknowledged);
                        streams.spawn(forward(exchange, out.clone()));
                    }
                }
            }
        }
        if filter.remove(RESOURCES).is_some() {
            let granted: Vec<&String> = uris.iter().filter(|uri| granted.contains(uri)).collect();
            if !granted.is_empty() {
                filter.insert(RESOURCES.to_owned(), json!(granted));
            }
        }
        let params = json!({ "_meta": meta, "notifications": filter });
        let acknowledged = json!({ "jsonrpc": "2.0", "method": ACKNOWLEDGED, "params": params });
        if out.send(Out::Event(acknowledged.to_string().into_bytes().into())).await.is_ok() {
            self.pass_heard(heard, &filter, &meta, out).await;
        }
        for (index, connected, uri) in held {
            self.let_go(index, &connected, &uri).await;
        }
    }

    /// Subscribes to a resource of an older server, for one more stream. Says whether it was granted.
    async fn hold(&self, index: usize, connected: &Connected, uri: &str) -> bool {
        let params = json!({ "uri": uri }).to_string();
        let mut exchange = connected.peer.request("resources/subscribe", &params).await;
        let answer = tokio::time::timeout(SUBSCRIBED, &mut exchange.answer).await;
        let granted = matches!(answer, Ok(Ok(answer)) if matches!(answer.kind, Kind::Result(_)));
        if granted {
            let mut streams = self.streams();
            let count = streams.entry((index, uri.to_owned())).or_insert(0usize);
            *count = count.saturating_add(1);
        }
        granted
    }

    /// Ends what [`Self::hold`] began. With the last stream, the subscription ends.
    async fn let_go(&self, index: usize, connected: &Connected, uri: &str) {
        let last = {
            let mut streams = self.streams();
            let key = (index, uri.to_owned());
            let left = streams.get(&key).map_or(0, |count| count.saturating_sub(1));
            if left == 0 {
                streams.remove(&key)
            } else {
                streams.insert(key, left)
            };
            left == 0
        };
        if last && !connected.peer.is_gone() {
            let params = json!({ "uri": uri }).to_string();
            let mut exchange = connected.peer.request("resources/unsubscribe", &params).await;
            drop(tokio::time::timeout(SUBSCRIBED, &mut exchange.answer).await);
        }
    }

    /// What older servers announce. The first one who listens lets the announcements flow.
    fn hear(self: &Arc<Self>) -> broadcast::Receiver<Vec<u8>> {
        let heard = self.heard.subscribe();
        if !self.hearing.swap(true, Ordering::AcqRel) {
            let (stream, client) = (Arc::clone(&self.stream), Arc::downgrade(self));
            self.parts().runtime.spawn(async move {
                let mut stream = stream.lock().await;
                while let Some((_, event)) = stream.recv().await {
                    let Some(client) = client.upgrade() else { return };
                    if let Event::Notification(bytes) = event {
                        // Nobody may be listening just now.
                        let _listeners = client.heard.send(bytes).unwrap_or_default();
                    }
                }
            });
        }
        heard
    }

    /// Passes on what older servers announce and the filter is for, until the client closes the stream.
    async fn pass_heard(
        &self,
        mut heard: broadcast::Receiver<Vec<u8>>,
        filter: &Map<String, Value>,
        meta: &Value,
        out: &mpsc::Sender<Out>,
    ) {
        loop {
            let bytes = tokio::select! {
                bytes = heard.recv() => match bytes {
                    Ok(bytes) => bytes,
                    Err(broadcast::error::RecvError::Lagged(_)) => continue,
                    Err(broadcast::error::RecvError::Closed) => return,
                },
                () = out.closed() => return,
                () = self.ended() => return,
            };
            if let Some(bytes) = tagged(&bytes, filter, meta)
                && out.send(Out::Event(bytes.into())).await.is_err()
            {
                return;
            }
        }
    }
}

/// Waits until a newer server has said which resources it will notify of. If it refuses, its answer is given.
async fn acknowledgement(exchange: &mut Exchange) -> Result<Vec<String>, Option<Message>> {
    let said = async {
        loop {
            tokio::select! {
                biased;
                Some(event) = exchange.events.recv() => {
                    let Event::Notification(bytes) = event else { continue };
                    let Some(filter) = acknowledged(&bytes) else { continue };
                    return Ok(texts(filter.get(RESOURCES)));
                }
                answer = &mut exchange.answer => return Err(answer.ok()),
            }
        }
    };
    tokio::time::timeout(SUBSCRIBED, said).await.unwrap_or(Err(None))
}

/// Passes on what a newer server announces, but for its acknowledgements, of which the client gets one from refmon.
async fn forward(mut exchange: Exchange, out: mpsc::Sender<Out>) {
    while let Some(event) = exchange.events.recv().await {
        let Event::Notification(bytes) = event else { continue };
        if acknowledged(&bytes).is_none() && out.send(Out::Event(bytes.into())).await.is_err() {
            return;
        }
    }
}

/// The filter of an acknowledgement; `None` for any other message.
fn acknowledged(bytes: &[u8]) -> Option<Map<String, Value>> {
    let message = Message::parse(bytes.to_vec(), Strictness::Data).ok()?;
    let fits = matches!(&message.kind, Kind::Notification(method) if method == ACKNOWLEDGED);
    let filter = message.value("notifications").and_then(|filter| serde_json::from_slice(filter).ok());
    fits.then(|| filter.unwrap_or_default())
}

fn texts(list: Option<&Value>) -> Vec<String> {
    let list = list.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    list.iter().filter_map(|item| item.as_str().map(str::to_owned)).collect()
}

/// A notification of the older era for a subscription, if the subscription is for it.
fn tagged(bytes: &[u8], filter: &Map<String, Value>, meta: &Value) -> Option<Vec<u8>> {
    let message = Message::parse(bytes.to_vec(), Strictness::Data).ok()?;
    let Kind::Notification(method) = &message.kind else { return None };
    let wanted = match method.as_str() {
        "notifications/tools/list_changed" => filter.get("toolsListChanged") == Some(&Value::Bool(true)),
        "notifications/prompts/list_changed" => filter.get("promptsListChanged") == Some(&Value::Bool(true)),
        "notifications/resources/list_changed" => filter.get("resourcesListChanged") == Some(&Value::Bool(true)),
        "notifications/resources/updated" => {
            message.text("uri").is_some_and(|uri| texts(filter.get(RESOURCES)).contains(&uri))
        }
        _ => false,
    };
    if !wanted {
        return None;
    }
    let mut value: Value = serde_json::from_slice(bytes).ok()?;
    let params = value.as_object_mut()?.entry("params").or_insert_with(|| json!({}));
    params.as_object_mut()?.insert("_meta".to_owned(), meta.clone());
    Some(value.to_string().into_bytes())
}

// === an older client's subscriptions ===

impl Client {
    /// Answers `resources/subscribe` and `resources/unsubscribe` of an older client: at every server of these that
    /// notifies of resources, for which of them has a resource is not known before it is read.
    pub(super) async fn subscribe_at(
        self: &Arc<Self>,
        found: &[(usize, Arc<Connected>)],
        message: &Message,
        out: &mpsc::Sender<Out>,
    ) {
        let Kind::Request(method, id) = &message.kind else { return };
        let (wanted, mut taken, mut refused) = (method == "resources/subscribe", false, None);
        for (_, connected) in found.iter().filter(|(_, connected)| connected.notifies()) {
            let answered = if connected.era == Era::Modern {
                self.subscribe(connected, wanted, message.text("uri").unwrap_or_default()).await
            } else {
                let mut exchange = connected.peer.ask(message, Vec::new(), HeaderMap::new()).await;
                match self.follow(&connected.peer, &mut exchange, out).await {
                    Some(answer) if matches!(answer.kind, Kind::Result(_)) => Ok(()),
                    answer => Err(answer),
                }
            };
            match answered {
                Ok(()) => taken = true,
                Err(why) => refused = why.or(refused),
            }
        }
        match refused {
            _ if taken => self.result(id, "{}", out).await,
            Some(answer) => {
                let restored = answer.with(vec![(answer.id.clone(), id.spelled.clone())]);
                self.last(restored, out).await;
            }
            None => self.fail(message, "no tool server takes the subscription", out).await,
        }
    }

    /// Listens anew with one resource more or less. What was listened to before goes on until the server has agreed.
    async fn subscribe(
        self: &Arc<Self>,
        connected: &Arc<Connected>,
        wanted: bool,
        uri: String,
    ) -> Result<(), Option<Message>> {
        let uris = {
            let mut subscribed = self.subscribed();
            if wanted && (uri.len() > URI_BYTES_MAX || subscribed.len() >= SUBSCRIBED_MAX) {
                let id = Id { canonical: "0".to_owned(), spelled: b"0".to_vec() };
                let text = "too many subscriptions, or too long a URI";
                let reply = Reply::protocol_error(Some(&id), -32_603, text, None).into_bytes();
                return Err(Message::parse(reply, Strictness::Data).ok());
            }
            let _changed = if wanted { subscribed.insert(uri.clone()) } else { subscribed.remove(&uri) };
            subscribed.iter().cloned().collect()
        };
        let (task, agreed) = self.listen_to_newer(connected, uris);
        match agreed.await.unwrap_or(Err(None)) {
            Ok(()) => connected.listens(task),
            Err(refused) => {
                task.abort();
                if wanted {
                    self.subscribed().remove(&uri);
                }
                return Err(refused);
            }
        }
        Ok(())
    }

    /// Listens to everything that the client has subscribed to so far.
    pub(super) fn listen_again(self: &Arc<Self>, connected: &Arc<Connected>) {
        let uris = self.subscribed().iter().cloned().collect();
        let (task, _agreed) = self.listen_to_newer(connected, uris);
        connected.listens(task);
    }

    /// Listens to what a newer server announces, and passes it on as the older era does.
    fn listen_to_newer(
        self: &Arc<Self>,
        connected: &Arc<Connected>,
        uris: Vec<String>,
    ) -> (AbortHandle, oneshot::Receiver<Result<(), Option<Message>>>) {
        let mut filter = json!({ "toolsListChanged": true, "promptsListChanged": true, "resourcesListChanged": true });
        // Subscriptions to resources are judged as such; without any the filter must not name them.
        if let (Some(members), false) = (filter.as_object_mut(), uris.is_empty()) {
            members.insert(RESOURCES.to_owned(), json!(uris));
        }
        let params = format!(r#"{{"_meta":{{{}}},"notifications":{filter}}}"#, self.envelope());
        let (peer, unsolicited) = (Arc::clone(&connected.peer), self.unsolicited_sender());
        let (agrees, agreed) = oneshot::channel();
        let task = self.parts().runtime.spawn(async move {
            let mut exchange = peer.request("subscriptions/listen", &params).await;
            let said = acknowledgement(&mut exchange).await.map(drop);
            let listens = said.is_ok();
            // Nobody may wait for it.
            drop(agrees.send(said));
            while listens && let Some(event) = exchange.events.recv().await {
                let Event::Notification(bytes) = event else { continue };
                let Some(bytes) = untagged(bytes) else { continue };
                if unsolicited.send((usize::MAX, Event::Notification(bytes))).await.is_err() {
                    return;
                }
            }
        });
        (task.abort_handle(), agreed)
    }
}

/// A notification of the newer era without what says to which subscription it belongs; `None` for an acknowledgement.
fn untagged(bytes: Vec<u8>) -> Option<Vec<u8>> {
    let message = Message::parse(bytes, Strictness::Data).ok()?;
    if matches!(&message.kind, Kind::Notification(method) if method == ACKNOWLEDGED) {
        return None;
    }
    let meta = message.members("_meta");
    if meta.find(SUBSCRIPTION).is_none() {
        return Some(message.bytes);
    }
    let kept = meta.all().iter().filter(|member| member.key != SUBSCRIPTION);
    let kept: Vec<String> =
        kept.map(|member| format!("{}:{}", json!(member.key), String::from_utf8_lossy(member.value))).collect();
    Some(message.with(vec![(message.span("_meta"), format!("{{{}}}", kept.join(",")).into_bytes())]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subscriptions_mark_is_taken_off_for_an_older_client_and_nothing_else() {
        let text = |meta: &str| {
            format!(r#"{{"jsonrpc":"2.0","method":"notifications/tools/list_changed","params":{{"_meta":{meta}}}}}"#)
        };
        let marked = text(r#"{"io.modelcontextprotocol/subscriptionId":7,"a": 1.0}"#);
        assert_eq!(untagged(marked.into_bytes()), Some(text(r#"{"a":1.0}"#).into_bytes()));
        assert_eq!(untagged(text(r#"{ "a":1}"#).into_bytes()), Some(text(r#"{ "a":1}"#).into_bytes()));
        let acknowledged = format!(r#"{{"jsonrpc":"2.0","method":"{ACKNOWLEDGED}","params":{{}}}}"#);
        assert_eq!(untagged(acknowledged.into_bytes()), None);
    }
}
