//! `/access/v1/search/…`: which subjects, resources or actions would be permitted, among those in the operator's directory.
//!
//! A search judges as an evaluation does and leaves nothing behind: nothing is recorded, spent or held. What the directory
//! does not have is not found.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use refmon_core::decision::Decision;
use refmon_core::digest::Hasher;
use refmon_core::ids::Operation;
use refmon_core::json::{Json, Members, Strictness};
use refmon_core::monitor::Judgement;
use refmon_core::record::Door;
use serde_json::{Value, json};

use crate::access::SHARED_BYTES_MAX;
use crate::bodies;
use crate::decisions::{Action, Decisions, Entity, Prepared, Question};
use crate::directory::Directory;
use crate::host::Host;
use crate::problem::Problem;
use crate::shape::Shape;
use crate::verdict::obligations;

/// Results in one page.
const PAGE_MAX: usize = 1_000;
/// Judgements for one page: a page may have fewer results than are asked for, and others after it.
const JUDGEMENTS_MAX: usize = 20_000;

/// What is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sought {
    /// Subjects.
    Subject,
    /// Resources.
    Resource,
    /// Actions.
    Action,
}

impl Sought {
    const fn shape(self) -> &'static Shape {
        match self {
            Self::Subject => &bodies::SEARCH_SUBJECT,
            Self::Resource => &bodies::SEARCH_RESOURCE,
            Self::Action => &bodies::SEARCH_ACTION,
        }
    }
}

/// Where a page begins, how long it is, and for which search that was said.
struct Page {
    from: usize,
    limit: usize,
    digest: [u8; 16],
    asked: bool,
}

impl Decisions {
    /// Searches.
    pub(crate) fn search(&self, host: Host<'_>, sought: Sought, body: &Bytes) -> Result<Value, Problem> {
        let Ok(json) = Json::parse(body) else { return Err(self.unreadable(Door::Access, host.caller())) };
        sought.shape().check(&json)?;
        let members = Members::parse(body, Strictness::Request).unwrap_or_default();
        let page = Page::read(&json, &self.digest(host, sought, &json))?;
        let nothing = Json::Object(Vec::new());
        let member = |name| json.member(name).unwrap_or(&nothing);
        let action = (member("action"), members.value("action").unwrap_or_default());
        let question = Question::read(member("subject"), action, member("resource"), json.member("context"));
        let directory = self.directory(host.caller());
        let candidates = directory.map(|directory| self.candidates(directory, sought, &question)).unwrap_or_default();
        // Each candidate is judged with all that was sent.
        let judgements = JUDGEMENTS_MAX.min(SHARED_BYTES_MAX.checked_div(body.len()).unwrap_or(JUDGEMENTS_MAX)).max(1);
        let (mut results, mut next) = (Vec::new(), page.from);
        for candidate in candidates.iter().skip(page.from).take(judgements) {
            if results.len() >= page.limit {
                break;
            }
            next = next.saturating_add(1);
            results.extend(self.found(host, sought, &question, candidate));
        }
        let more = next < candidates.len();
        let mut answer = json!({ "results": results });
        if let (true, Some(answer)) = (more || page.asked, answer.as_object_mut()) {
            let token = if more { page.token(next) } else { String::new() };
            answer.insert("page".to_owned(), json!({ "next_token": token, "count": results.len() }));
        }
        Ok(answer)
    }

    /// Everything that could be found, in a fixed order. Nothing if the directory does not have what is given.
    fn candidates(&self, directory: &Directory, sought: Sought, question: &Question<'_>) -> Vec<String> {
        let Question { subject, resource, .. } = question;
        let has_subject = directory.subject(subject.kind, subject.id).is_some();
        let has_resource = directory.resource(resource.kind, resource.id).is_some();
        match sought {
            Sought::Subject if has_resource => directory.subjects(subject.kind).map(str::to_owned).collect(),
            Sought::Resource if has_subject => directory.resources(resource.kind).map(str::to_owned).collect(),
            Sought::Action if has_subject && has_resource && resource.kind == "tool" => vec!["tools/call".to_owned()],
            Sought::Action if has_subject && has_resource => {
                let bundle = self.parts.monitor.bundle();
                let tools = bundle.tools().filter(|tool| tool.contract.server.as_str() == resource.kind);
                let name = |operation: &Operation| match operation {
                    Operation::Tool(name) => Some(name.to_string()),
                    Operation::Method(_) => None,
                };
                tools.filter_map(|tool| name(&tool.contract.operation)).collect()
            }
            Sought::Subject | Sought::Resource | Sought::Action => Vec::new(),
        }
    }

    /// A result, if the candidate would be permitted.
    fn found(&self, host: Host<'_>, sought: Sought, question: &Question<'_>, id: &str) -> Option<Value> {
        let (asked, mut result) = match sought {
            Sought::Subject => {
                let subject = Entity { id, ..question.subject };
                (Question { subject, ..*question }, json!({ "type": question.subject.kind, "id": id }))
            }
            Sought::Resource => {
                let resource = Entity { id, ..question.resource };
                (Question { resource, ..*question }, json!({ "type": question.resource.kind, "id": id }))
            }
            Sought::Action => {
                let action = Action { name: id, ..question.action };
                (Question { action, ..*question }, json!({ "name": id }))
            }
        };
        let judgement = self.foresee(host, &asked).filter(|judgement| judgement.decision == Decision::Permit)?;
        if let (false, Some(result)) = (judgement.obligations.is_empty(), result.as_object_mut()) {
            result.insert("obligations".to_owned(), json!(obligations(&judgement.obligations)));
        }
        Some(result)
    }

    fn foresee(&self, host: Host<'_>, question: &Question<'_>) -> Option<Judgement> {
        match self.prepare(host, question) {
            Prepared::Judge(proposal) => Some(self.parts.monitor.foresee(&proposal)),
            Prepared::Refuse(..) => None,
        }
    }

    /// What a page's token is for: everything that is asked but the page itself, by whoever asks.
    fn digest(&self, host: Host<'_>, sought: Sought, json: &Json<'_>) -> [u8; 16] {
        let mut hasher = Hasher::new("refmon/search/v1");
        let caller = host.caller();
        for part in [caller.tenant().as_str(), caller.user().as_str(), sought.shape().name] {
            hasher.part(part.as_bytes());
        }
        for (name, value) in json.as_object().unwrap_or_default() {
            if matches!(name.as_ref(), "subject" | "action" | "resource" | "context") {
                hasher.part(name.as_bytes()).part(value.canonical().as_bytes());
            }
        }
        let digest = hasher.finish();
        digest.first_chunk().copied().unwrap_or_default()
    }
}

impl Page {
    fn read(json: &Json<'_>, digest: &[u8; 16]) -> Result<Self, Problem> {
        let page = json.member("page").filter(|page| **page != Json::Null);
        let limit = page.and_then(|page| page.member("limit")).and_then(|limit| limit.as_number()?.as_u64());
        let asked = limit.map(|limit| usize::try_from(limit).unwrap_or(PAGE_MAX).min(PAGE_MAX));
        let token =
            page.and_then(|page| page.member("token")).and_then(Json::as_text).filter(|token| !token.is_empty());
        let first = Self { from: 0, limit: asked.unwrap_or(PAGE_MAX), digest: *digest, asked: page.is_some() };
        let Some(token) = token else { return Ok(first) };
        let wrong = Problem::Body("`/page/token` is not of this very search");
        let bytes: [u8; 22] =
            URL_SAFE_NO_PAD.decode(token).ok().and_then(|bytes| bytes.try_into().ok()).ok_or(wrong.clone())?;
        let [a, b, c, d, e, f, of @ ..] = bytes;
        let (from, limit) = (u32::from_be_bytes([a, b, c, d]), usize::from(u16::from_be_bytes([e, f])));
        // The limit may be left out of what follows the first page, and must not change.
        if of != *digest || limit > PAGE_MAX || asked.is_some_and(|asked| asked != limit) {
            return Err(wrong);
        }
        Ok(Self { from: usize::try_from(from).unwrap_or(usize::MAX), limit, ..first })
    }

    fn token(&self, next: usize) -> String {
        let mut bytes = u32::try_from(next).unwrap_or(u32::MAX).to_be_bytes().to_vec();
        bytes.extend(u16::try_from(self.limit).unwrap_or(u16::MAX).to_be_bytes());
        bytes.extend(self.digest);
        URL_SAFE_NO_PAD.encode(bytes)
    }
}
