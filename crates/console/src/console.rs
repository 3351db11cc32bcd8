//! Which path is which page.

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts as Head;
use http::{Method, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use refmon_core::caller::Caller;
use refmon_core::ids::{CallId, HoldId};
use refmon_core::ports::{Clock, Entropy, Fault};
use refmon_core::record::Resolved;
use refmon_core::secret::Secret;
use tokio::sync::Semaphore;

use crate::form::{Fields, session_id};
use crate::guard::{has_token, is_own_page};
use crate::page::{self, Answer, Viewer};
use crate::pages::{agents, budgets, call, calls, health, hold, login, policies, queue, servers};
use crate::session::{Credential, Credentials, Made, Session, Sessions};
use crate::sight::{Decided, Reach, Sight};

/// The body of an answer.
pub type Body = UnsyncBoxBody<Bytes, Infallible>;

/// The first parts of addresses of pages.
const PAGES: &[&str] = &["login", "logout", "holds", "calls", "agents", "servers", "policies", "budgets", "health"];
/// Bytes of a form.
const FORM_BYTES_MAX: usize = 64 * 1024;
/// Bytes of a key that somebody pastes.
const KEY_BYTES_MAX: usize = 256;
/// Pages that are made at the same time.
const TURNS_MAX: usize = 64;
/// By this header a page says that it looks by itself whether something is new.
const LIVE: &str = "x-refmon-live";
/// Files of the console.
const ASSETS: &[(&str, &str, &str)] = &[
    ("/assets/console.css", "text/css; charset=utf-8", include_str!("assets/console.css")),
    ("/assets/console.js", "text/javascript; charset=utf-8", include_str!("assets/console.js")),
    ("/assets/mark.svg", "image/svg+xml", include_str!("assets/mark.svg")),
];

/// What the console is put together from.
pub struct Parts {
    /// What pages show.
    pub sight: Arc<dyn Sight>,
    /// Who a credential is.
    pub credentials: Arc<dyn Credentials>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
    /// Whether browsers reach the console by TLS only.
    pub secure: bool,
    /// The port that the console is reached at, by which the cookies of several on one machine are told apart.
    pub port: u16,
}

/// The console.
pub struct Console {
    sight: Arc<dyn Sight>,
    credentials: Arc<dyn Credentials>,
    sessions: Sessions,
    turns: Arc<Semaphore>,
    cookie: Cookie,
}

/// The name of the session's cookie, and how it is set.
struct Cookie {
    name: String,
    secure: bool,
}

/// A visitor who is logged in, as the head of a request carries it from [`Console::visitor`] to [`Console::visit`].
#[derive(Clone)]
struct Visit {
    session: Session,
    caller: Arc<Caller>,
}

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts").field("secure", &self.secure).field("port", &self.port).finish_non_exhaustive()
    }
}

impl fmt::Debug for Console {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Console").field("cookie", &self.cookie.name).finish_non_exhaustive()
    }
}

impl Console {
    /// Puts the console together.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let Parts { sight, credentials, clock, entropy, secure, port } = parts;
        // The prefix makes browsers refuse such a cookie from other hosts, other paths and plain HTTP.
        let name = if secure { "__Host-refmon".to_owned() } else { format!("refmon-console-{port}") };
        let (sessions, turns) = (Sessions::new(clock, entropy), Arc::new(Semaphore::new(TURNS_MAX)));
        Self { sight, credentials, sessions, turns, cookie: Cookie { name, secure } }
    }

    /// Whether a path is a page, and how many bytes a body sent there may have.
    #[must_use]
    pub fn body_bytes_max(&self, path: &str) -> Option<usize> {
        let first = path.strip_prefix('/')?.split('/').next()?;
        // Two slashes are not one.
        (path == "/" || PAGES.contains(&first)).then_some(FORM_BYTES_MAX)
    }

    /// The files that pages need, which are for everybody.
    #[must_use]
    pub fn asset(&self, head: &Head) -> Option<Response<Body>> {
        let (_, kind, text) = ASSETS.iter().find(|(path, ..)| *path == head.uri.path())?;
        if head.method == Method::GET {
            Some(page::asset(kind, text))
        } else {
            Some(refused(StatusCode::METHOD_NOT_ALLOWED))
        }
    }

    /// Who a visitor is, by the session's cookie.
    pub async fn visitor(&self, head: &mut Head) -> Option<Arc<Caller>> {
        let id = session_id(&head.headers, &self.cookie.name)?;
        let made = if head.headers.contains_key(LIVE) { Made::ByPage } else { Made::ByPerson };
        let (session, caller) = self.sessions.find(id, made, self.credentials.as_ref()).await?;
        head.extensions.insert(Visit { session, caller: Arc::clone(&caller) });
        Some(caller)
    }

    /// Answers a visitor, whom [`Self::visitor`] has looked at.
    pub async fn visit(&self, request: Request<Bytes>) -> Response<Body> {
        let (mut head, body) = request.into_parts();
        let visit = head.extensions.remove::<Visit>();
        match (head.uri.path(), &head.method, visit) {
            ("/login", &Method::GET, Some(_)) => page::see_other("/"),
            ("/login", &Method::GET, None) => {
                let fields = Fields::of_query(head.uri.query().unwrap_or_default()).unwrap_or_default();
                login::show(login::Said::Welcome, login::next(fields.get("next")))
            }
            ("/login", &Method::POST, visit) => self.log_in(&head, &body, visit).await,
            (_, &Method::GET, None) => {
                let address = head.uri.path_and_query().map(|address| login::next(Some(address.as_str())));
                page::see_other(&format!("/login?{}", next(address.unwrap_or("/"))))
            }
            (_, _, None) => login::show(login::Said::Over, "/"),
            (_, &Method::GET | &Method::POST, Some(visit)) => self.page(visit, head, body).await,
            (_, _, Some(_)) => refused(StatusCode::METHOD_NOT_ALLOWED),
        }
    }

    async fn log_in(&self, head: &Head, body: &Bytes, before: Option<Visit>) -> Response<Body> {
        if !is_own_page(&head.headers) {
            return login::show(login::Said::Foreign, "/");
        }
        let Some(form) = Fields::of_form(&head.headers, body) else { return login::show(login::Said::Refused, "/") };
        let next = login::next(form.get("next"));
        let Some(key) = form.get("key").filter(|key| key.len() <= KEY_BYTES_MAX) else {
            return login::show(login::Said::Refused, next);
        };
        let credential = Credential::Key(Secret::new(key.to_owned()));
        let Some(caller) = self.credentials.look_at(&credential).await else {
            return login::show(login::Said::Refused, next);
        };
        if let Some(before) = before {
            self.sessions.end(&before.session);
        }
        match self.sessions.begin(&caller, credential) {
            Ok(id) => page::with_cookie(page::see_other(next), &self.cookie.set(&id)),
            Err(_) => login::show(login::Said::Unavailable, next),
        }
    }

    /// A page for who is logged in. What waits for a disk keeps nobody else waiting.
    async fn page(&self, visit: Visit, head: Head, body: Bytes) -> Response<Body> {
        if head.method == Method::POST {
            let form = Fields::of_form(&head.headers, &body);
            let Some(form) = form.filter(|form| is_own_page(&head.headers) && has_token(form, &visit.session)) else {
                return login::show(login::Said::Foreign, "/");
            };
            if head.uri.path() == "/logout" {
                self.sessions.end(&visit.session);
                return page::with_cookie(page::see_other("/login"), &self.cookie.unset());
            }
            return self.shown(visit, move |desk| desk.act(head.uri.path(), &form)).await;
        }
        let Some(fields) = Fields::of_query(head.uri.query().unwrap_or_default()) else {
            return self.shown(visit, |_| Ok(unreadable())).await;
        };
        self.shown(visit, move |desk| desk.look(head.uri.path(), &fields)).await
    }

    async fn shown(
        &self,
        visit: Visit,
        deed: impl FnOnce(Desk<'_>) -> Result<Answer, Fault> + Send + 'static,
    ) -> Response<Body> {
        // Pages take a part of the threads that wait for disks, and one person a part of that: calls wait for none of them.
        let own = Arc::clone(&visit.session.turns).acquire_owned().await;
        let all = Arc::clone(&self.turns).acquire_owned().await;
        let (Ok(own), Ok(all)) = (own, all) else { return refused(StatusCode::SERVICE_UNAVAILABLE) };
        let sight = Arc::clone(&self.sight);
        let done = tokio::task::spawn_blocking(move || {
            let Ok(rights) = sight.rights(&visit.caller) else { return refused(StatusCode::SERVICE_UNAVAILABLE) };
            let viewer = Viewer { caller: &visit.caller, rights: &rights, token: &visit.session.token };
            let answer = deed(Desk { sight: sight.as_ref(), viewer });
            let answer = answer.unwrap_or_else(|_| unavailable()).into_response(viewer);
            drop((own, all));
            answer
        });
        done.await.unwrap_or_else(|_| refused(StatusCode::SERVICE_UNAVAILABLE))
    }
}

/// What one visitor sees and does.
struct Desk<'a> {
    sight: &'a dyn Sight,
    viewer: Viewer<'a>,
}

impl Desk<'_> {
    fn look(&self, path: &str, fields: &Fields) -> Result<Answer, Fault> {
        let caller = self.viewer.caller;
        let parts: Vec<&str> = path.split('/').skip(1).collect();
        Ok(match parts.as_slice() {
            [""] => {
                let query = queue::query(fields);
                queue::show(self.viewer, &query, &self.sight.queue(caller, &query)?)
            }
            ["holds", id] => self.hold(id, |hold, now| hold::show(self.viewer, hold, now, hold::Said::Nothing))?,
            ["holds", id, "arguments"] => self.hold(id, |hold, _| hold::text(hold))?,
            _ if self.viewer.rights.reach == Reach::Holds => Answer::missing(),
            ["calls"] => {
                let (query, wrong) = calls::query(fields);
                calls::show(self.viewer, fields, &wrong, &self.sight.calls(caller, &query)?)
            }
            ["calls", id] => {
                let life = CallId::parse(id).map(|id| self.sight.life(caller, id)).transpose()?.flatten();
                life.map_or_else(Answer::missing, |life| call::show(self.viewer, &life))
            }
            ["agents"] => {
                let asked = agents::asked(fields);
                agents::show(self.viewer, fields, &asked, &self.sight.agents(caller, &asked)?)
            }
            ["servers"] => servers::show(self.viewer, &self.sight.servers(caller)?, None),
            ["policies"] => policies::show(self.viewer, &self.sight.policies(caller)?, None),
            ["budgets"] => budgets::show(self.viewer, &self.sight.budgets(caller)?),
            ["health"] => health::show(self.viewer, &self.sight.health(caller)?),
            _ => Answer::missing(),
        })
    }

    fn hold(&self, id: &str, show: impl FnOnce(&crate::sight::Hold, u64) -> Answer) -> Result<Answer, Fault> {
        let found = HoldId::parse(id).map(|id| self.sight.hold(self.viewer.caller, id)).transpose()?.flatten();
        Ok(found.map_or_else(Answer::missing, |(hold, now)| show(&hold, now)))
    }

    fn act(&self, path: &str, form: &Fields) -> Result<Answer, Fault> {
        let parts: Vec<&str> = path.split('/').skip(1).collect();
        let caller = self.viewer.caller;
        match (parts.as_slice(), self.viewer.rights.reach) {
            (["holds", id], _) => self.decide(id, form),
            (["policies"], Reach::Tenant) => {
                let question = policies::question(form);
                let explained = self.sight.explain(caller, &question)?;
                Ok(policies::show(self.viewer, &self.sight.policies(caller)?, Some((&question, &explained))))
            }
            (["servers"], Reach::Tenant) => {
                let name = form.whole("server");
                Ok(match self.sight.compare(caller, name)? {
                    Some(compared) => servers::show(self.viewer, &self.sight.servers(caller)?, Some((name, &compared))),
                    None => Answer::missing(),
                })
            }
            _ => Ok(Answer::missing()),
        }
    }

    fn decide(&self, text: &str, form: &Fields) -> Result<Answer, Fault> {
        let Some(resolved) = resolved(form) else { return Ok(Answer::missing()) };
        let Some(id) = HoldId::parse(text) else { return Ok(Answer::missing()) };
        let reason = form.get("reason");
        if reason.is_some_and(|reason| reason.len() > hold::REASON_BYTES_MAX) {
            return self.hold(text, |hold, now| hold::show(self.viewer, hold, now, hold::Said::ReasonTooLong));
        }
        let decided = match self.sight.decide(self.viewer.caller, id, resolved, reason) {
            Ok(decided) => decided,
            Err(_) => return Ok(undecided()),
        };
        match (decided, hold::decided(decided)) {
            (Decided::Missing, _) => Ok(Answer::missing()),
            // A page that is loaded again decides nothing again.
            (_, hold::Said::Nothing) => Ok(Answer::To(format!("/holds/{id}"))),
            (_, said) => self.hold(text, |hold, now| hold::show(self.viewer, hold, now, said)),
        }
    }
}

impl Cookie {
    /// `Lax`, so that a link to a hold from elsewhere finds who is logged in; forms of other sites get no cookie.
    fn set(&self, id: &Secret<String>) -> String {
        format!("{}={}; Path=/; HttpOnly; SameSite=Lax{}", self.name, id.expose(), self.end())
    }

    fn unset(&self) -> String {
        format!("{}=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0{}", self.name, self.end())
    }

    const fn end(&self) -> &'static str {
        if self.secure { "; Secure" } else { "" }
    }
}

fn resolved(form: &Fields) -> Option<Resolved> {
    match form.whole("decision") {
        "approve" => Some(Resolved::Approved),
        "deny" => Some(Resolved::Denied),
        _ => None,
    }
}

fn next(address: &str) -> String {
    form_urlencoded::Serializer::new(String::new()).append_pair("next", address).finish()
}

fn unreadable() -> Answer {
    Answer::refusal(
        StatusCode::BAD_REQUEST,
        "Not understood",
        "The address has a query that cannot be read in one way.",
    )
}

fn unavailable() -> Answer {
    let words = "What this page needs does not answer at the moment. Nothing was changed. Try again.";
    Answer::refusal(StatusCode::SERVICE_UNAVAILABLE, "Not available", words)
}

fn undecided() -> Answer {
    let words = "The decision could not be recorded, so nothing was decided. Try again.";
    Answer::refusal(StatusCode::SERVICE_UNAVAILABLE, "Nothing was decided", words)
}

/// An answer without a page, where there is nobody to draw one for.
fn refused(status: StatusCode) -> Response<Body> {
    let mut answer = page::asset("text/plain; charset=utf-8", "refmon cannot answer that\n");
    *answer.status_mut() = status;
    answer
}
