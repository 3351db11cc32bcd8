//! Every page, with hostile text wherever a stranger's can stand: what comes out has no markup but ours, and nothing invisible.

use http_body_util::BodyExt as _;
use refmon_core::caller::{Caller, IdentityKind};
use refmon_core::contract::Effect;
use refmon_core::hold::HoldState;
use refmon_core::ids::{AgentId, CallId, HoldId, TenantId, UserId};
use refmon_core::json::Json;
use refmon_core::reason::ReasonCode;
use refmon_core::record::Resolved;
use refmon_core::secret::Secret;

use crate::form::Fields;
use crate::page::{Answer, Viewer};
use crate::pages::{agents, budgets, call, calls, health, hold, policies, queue, servers};
use crate::sight::*;

fn corpus() -> Vec<String> {
    let text = include_str!("../../../../tests/clients/hostile-text.json");
    let json = Json::parse_with(text.as_bytes(), refmon_core::json::Strictness::Data).unwrap();
    json.as_list().unwrap().iter().map(|item| item.as_text().unwrap().to_owned()).collect()
}

fn held(text: &str, state: HoldState, part: Part) -> Hold {
    let own = || text.to_owned();
    let decision = Decision { user: own(), resolved: Resolved::Denied, reason: Some(own()), at_us: 1 };
    Hold {
        id: HoldId::from_bytes([7; 16]),
        state,
        part,
        user: own(),
        agent: own(),
        identity: own(),
        host: Some((own(), own())),
        door: own(),
        server: own(),
        tool: own(),
        action: own(),
        effects: vec![Effect::Write],
        targets: vec![own(), own()],
        risk: (42, "very high"),
        reason: own(),
        why: own(),
        rules: vec![(own(), own(), own())],
        needed: 2,
        approved: 0,
        decisions: vec![decision],
        arguments: own(),
        placed_us: 1,
        expires_us: 600_000_000,
    }
}

/// Every page that shows something of a stranger's, or what the visitor has typed.
fn pages(viewer: Viewer<'_>, text: &str, typed: &str) -> Vec<(&'static str, Answer)> {
    let mut pages = deciding(viewer, text);
    pages.extend(looking(viewer, text, typed));
    pages.extend(ruling(viewer, text, typed));
    pages
}

fn deciding(viewer: Viewer<'_>, text: &str) -> Vec<(&'static str, Answer)> {
    let (waiting, mine) =
        (held(text, HoldState::Pending, Part::Decides), held(text, HoldState::Expired, Part::AskedOnly));
    let batch = Batch { effects: vec![Effect::Read], targets: vec![text.to_owned()], count: 2 };
    let listed = Queue {
        holds: vec![waiting.clone(), mine.clone()],
        counts: [("pending", 1)].into(),
        batches: vec![batch],
        next: None,
        now_us: 2,
    };
    let query = QueueQuery { state: Some(HoldState::Pending), after: None };
    vec![
        ("queue", queue::show(viewer, &query, &listed)),
        ("hold", hold::show(viewer, &waiting, 2, hold::Said::Nothing)),
        ("own hold", hold::show(viewer, &mine, 2, hold::Said::SamePerson)),
    ]
}

fn looking(viewer: Viewer<'_>, text: &str, typed: &str) -> Vec<(&'static str, Answer)> {
    let own = || text.to_owned();
    let one = Call {
        id: CallId::from_bytes([7; 16]),
        at_us: 1,
        who: own(),
        agent: own(),
        server: own(),
        tool: own(),
        decision: "deny",
        reason: ReasonCode::UnknownTool,
        ended: Some(own()),
        decide_us: 1,
        execute_us: None,
    };
    let step = Step { name: "Door", tone: Tone::Hold, at_us: 1, detail: own(), other: None };
    let life = Life {
        id: one.id,
        tool: own(),
        server: own(),
        decision: "permit",
        why: "why",
        remedies: Vec::new(),
        facts: vec![("Agent", own())],
        steps: vec![step.clone(), step],
    };
    let row = Row { server: own(), tool: own(), effects: Vec::new(), verdict: Verdict::Depends, why: own() };
    let key = Key { id: "id".to_owned(), user: own(), agent: own(), scopes: vec![own()] };
    let met = Met { agent: own(), counts: [("permit", 1), ("hold", 0), ("deny", 2)], last_us: 1 };
    let matrix = Matrix { keys: vec![key], met: vec![met], of: Some((own(), own())), rows: vec![row] };
    let short: String = typed.chars().take(500).collect();
    let mut filter = form_urlencoded::Serializer::new(String::new());
    let filter = filter.append_pair("tool", &short).append_pair("user", &short).finish();
    let fields = Fields::of_query(&filter).unwrap_or_default();
    vec![
        ("calls", calls::show(viewer, &fields, &[], &Calls { calls: vec![one], next: None })),
        ("call", call::show(viewer, &life)),
        ("agents", agents::show(viewer, &fields, &agents::asked(&fields), &matrix)),
    ]
}

fn ruling(viewer: Viewer<'_>, text: &str, typed: &str) -> Vec<(&'static str, Answer)> {
    let (own, said) = (|| text.to_owned(), || typed.to_owned());
    let pin = Some("sha256:00".to_owned());
    let tool = Tool { name: own(), effects: vec![], scopes: vec![own()], hold: "always", pin, quarantined_us: Some(1) };
    let (name, compare) = ("one".to_owned(), Comparable::Lists);
    let server = Server { name, how: "a command", version: Some(1), tools: vec![tool], compare };
    let changed = Compared::Changes(vec![Change { tool: own(), what: "changed", diff: own() }]);
    let rule =
        Rule { id: own(), kind: RuleKind::Permit, reason: own(), demands: Some(own()), place: own(), text: own() };
    let rules = Policies {
        bundle: "sha256:00".to_owned(),
        files: Files::Changed,
        rules: vec![rule],
        findings: vec![Finding { lint: "lint", rule: Some(own()), message: own() }],
        tools: vec![("one".to_owned(), "echo".to_owned())],
    };
    let question =
        Question { server: said(), tool: said(), arguments: said(), user: said(), agent: said(), scopes: said() };
    let judged = Explained::Judged {
        decision: "deny",
        reason: ReasonCode::KindMismatch,
        expected: Some((own(), own())),
        rules: vec![own()],
        text: Some(own()),
    };
    let budget = Budget { counts: own(), allowance: "1".to_owned(), per: "tenant" };
    let limits = Budgets { budgets: vec![budget], read_only: vec![own()], denied: (1, 2) };
    let health = Health { promises: vec![Promise { name: "p", word: Word::Fails, how: own() }] };
    vec![
        ("servers", servers::show(viewer, std::slice::from_ref(&server), Some(("one", &changed)))),
        ("policies", policies::show(viewer, &rules, Some((&question, &judged)))),
        ("budgets", budgets::show(viewer, &limits)),
        ("health", health::show(viewer, &health)),
    ]
}

/// The names of the elements of a page, with those of their attributes.
fn elements(page: &str) -> Vec<String> {
    let mut found = Vec::new();
    for tag in page.split('<').skip(1) {
        let inside = tag.split_once('>').map_or(tag, |(inside, _)| inside);
        let mut quoted = false;
        let bare: String = inside
            .chars()
            .filter(|c| {
                quoted ^= *c == '"';
                !quoted && *c != '"'
            })
            .collect();
        found.push(bare.trim_start_matches('/').to_owned());
    }
    found.sort();
    found.dedup();
    found
}

#[test]
fn every_page_is_made_of_the_same_elements_whatever_strangers_wrote() {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
        let (tenant, user) = (TenantId::parse("acme").unwrap(), UserId::parse("boss").unwrap());
        let caller = Caller::authenticated(IdentityKind::ApiKey, tenant, user, AgentId::parse("console").unwrap(), []);
        let rights = Rights { reach: Reach::Tenant, decides: Effect::ALL.to_vec() };
        let token = Secret::new("token".to_owned());
        let viewer = Viewer { caller: &caller, rights: &rights, token: &token };
        let allowed = [
            "mark",
            "mark title=",
            "pre class= tabindex= role= aria-label= dir=",
            "p class=",
            "h3",
            "p",
            "span class=",
            "a href=",
        ];
        let mut plain = Vec::new();
        for (_, answer) in pages(viewer, "plain", "plain") {
            plain.push(elements(&written(answer, viewer).await));
        }
        let corpus = corpus();
        assert!(corpus.len() >= 40, "{}", corpus.len());
        for text in &corpus {
            let start: String = text.chars().take(60).collect();
            for ((name, answer), expected) in pages(viewer, text, text).into_iter().zip(&plain) {
                let page = written(answer, viewer).await;
                assert!(page.len() < 2_000_000, "{name}: {} bytes", page.len());
                for element in elements(&page) {
                    let known = expected.contains(&element) || allowed.contains(&element.as_str());
                    assert!(known, "{name} has `{element}` for {start:?}");
                }
            }
            for (name, answer) in pages(viewer, text, "plain") {
                let page = written(answer, viewer).await.replace('\n', "");
                assert!(!page.chars().any(is_hidden), "{name} hides something for {start:?}");
            }
        }
    });
}

async fn written(answer: Answer, viewer: Viewer<'_>) -> String {
    let bytes = answer.into_response(viewer).into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn is_hidden(c: char) -> bool {
    let turning = matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}');
    c.is_control() || turning || matches!(c, '\u{feff}' | '\u{ad}' | '\u{3164}' | '\u{115f}')
}
