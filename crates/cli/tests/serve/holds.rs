//! `/v1/holds`: people decide on held calls by API.

use std::fs;
use std::io::Write as _;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::gateway::{Answer, Gateway, KEYS, folder, modern};

/// A gateway whose every call of `one` waits for a person: an outward write.
pub(crate) fn site(policy: &str) -> TempDir {
    site_of("modern", policy, "")
}

pub(crate) fn site_of(era: &str, policy: &str, configuration: &str) -> TempDir {
    let folder = folder(&[("one", era)], &format!("{KEYS}{configuration}"));
    let contract = folder.path().join("contracts/one.toml");
    let text = fs::read_to_string(&contract).unwrap();
    let hold = "effects = [\"write\", \"external\"]\nhold = \"always\"";
    fs::write(&contract, text.replace("effects = [\"write\"]", hold)).unwrap();
    if !policy.is_empty() {
        fs::write(folder.path().join("policies/more.cedar"), policy).unwrap();
    }
    folder
}

pub(crate) fn key(gateway: &Gateway, user: &str, tenant: &str, scopes: &[&str]) -> String {
    let mut arguments = vec!["key", "add", "--user", user, "--tenant", tenant];
    arguments.extend(scopes.iter().flat_map(|scope| ["--scope", scope]));
    gateway.command(&arguments)["key"].as_str().unwrap().to_owned()
}

fn api(gateway: &Gateway, key: &str, method: &str, path: &str, body: &str) -> Answer {
    let bearer = format!("Bearer {key}");
    let request = gateway.written(method, &[("authorization", &bearer)], body);
    gateway.raw(request.replacen(" /mcp ", &format!(" {path} "), 1).as_bytes())
}

fn get(gateway: &Gateway, key: &str, path: &str) -> (u16, Value) {
    let answer = api(gateway, key, "GET", path, "");
    (answer.status, serde_json::from_str(&answer.body).unwrap_or_else(|_| panic!("{answer:?}")))
}

pub(crate) fn decide(gateway: &Gateway, key: &str, hold: &str, verb: &str) -> (u16, Value) {
    let answer = api(gateway, key, "POST", &format!("/v1/holds/{hold}/{verb}"), "{}");
    (answer.status, serde_json::from_str(&answer.body).unwrap_or_else(|_| panic!("{answer:?}")))
}

/// The verdict on a call; `null` if it ran.
pub(crate) fn ask(gateway: &Gateway, key: &str, text: &str) -> Value {
    let answer = gateway.modern(Some(key), "tools/call", json!({ "name": "echo", "arguments": { "text": text } }));
    answer.last()["result"]["_meta"]["refmon.dev/verdict"].clone()
}

pub(crate) fn held(gateway: &Gateway, key: &str, text: &str) -> String {
    let verdict = ask(gateway, key, text);
    verdict["hold"].as_str().unwrap_or_else(|| panic!("{verdict}")).to_owned()
}

pub(crate) const USE: &[&str] = &["one:use"];
pub(crate) const ALL: &[&str] = &["refmon:approve"];

#[test]
fn another_person_with_the_scopes_approves_and_the_call_runs_once() {
    let gateway = Gateway::over(site(""));
    let ada = key(&gateway, "ada", "local", &["one:use", "refmon:approve"]);
    let hold = held(&gateway, &ada, "x");
    assert_eq!(decide(&gateway, &ada, &hold, "approve").1["code"], "same-person", "four eyes");
    // Another agent of the same person is the same person.
    let other = ["key", "add", "--user", "ada", "--agent", "bot", "--scope", "refmon:approve"];
    let other = gateway.command(&other)["key"].as_str().unwrap().to_owned();
    assert_eq!(decide(&gateway, &other, &hold, "approve").0, 403);
    let half = key(&gateway, "eve", "local", &["refmon:approve:write", "refmon:approve:read"]);
    assert_eq!(decide(&gateway, &half, &hold, "approve").0, 404, "nor without a scope for each effect");
    let boss = key(&gateway, "boss", "local", &["refmon:approve:write", "refmon:approve:external"]);
    let (status, seen) = get(&gateway, &boss, &format!("/v1/holds/{hold}"));
    assert_eq!(status, 200);
    let expected = json!({ "hold": hold, "state": "pending", "user": "ada", "action": "one/echo@1", "server": "one",
        "tool": "echo", "arguments": "{\"text\":\"x\"}", "effects": ["write", "external"], "needed": 1, "approved": 0,
        "risk_words": "high, target unknown", "identity": "api-key", "reason": "hold.contract", "door": "mcp-http" });
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(&seen[name], value, "{name}: {seen}");
    }
    let listed = gateway.command(&["holds", "show", &hold]);
    assert_eq!(listed, seen, "the command shows what the API shows");
    let answer = api(&gateway, &boss, "POST", &format!("/v1/holds/{hold}/approve"), r#"{"reason":"canary \u202e"}"#);
    let done: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(done, json!({ "hold": hold, "state": "approved", "approved": 1, "needed": 1, "changed": true }));
    assert_eq!(decide(&gateway, &boss, &hold, "approve").1["changed"], false, "a second time by the same person");
    let third = key(&gateway, "third", "local", ALL);
    let (status, late) = decide(&gateway, &third, &hold, "deny");
    assert_eq!((status, &late["code"], &late["state"]), (409, &json!("decided"), &json!("approved")));
    assert!(gateway.log("one").is_empty());
    assert_eq!(ask(&gateway, &ada, "x"), Value::Null);
    assert_eq!(gateway.log("one").len(), 1);
    assert_eq!(get(&gateway, &boss, &format!("/v1/holds/{hold}")).1["state"], "spent");
    assert_ne!(held(&gateway, &ada, "x"), hold);

    // From the run to who let it run.
    let runs = gateway.command(&["audit", "search", "--reason", "approved"]);
    let chain = gateway.command(&["audit", "show", runs[0]["call"].as_str().unwrap()]);
    let kinds: Vec<&str> = chain.as_array().unwrap().iter().map(|one| one["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["attempt", "completion", "attempt", "resolution"], "{chain}");
    let resolution = &chain[3];
    assert_eq!(
        (&resolution["hold"], &resolution["number"], &resolution["needed"]),
        (&json!(hold), &json!(1), &json!(1))
    );
    assert_eq!((&resolution["identity"], &resolution["self_approved"]), (&json!("api-key"), &json!(false)));
    assert!(!chain.to_string().contains("canary") && !chain.to_string().contains("boss"), "{chain}");
    let figures = get(&gateway, &boss, "/v1/holds/figures").1;
    assert_eq!(
        (&figures["placed"], &figures["approved"], &figures["approval_percent"]),
        (&json!(2), &json!(1), &json!(100))
    );
    assert_eq!(get(&gateway, &key(&gateway, "zoe", "local", USE), "/v1/holds/figures").0, 403);
}

#[test]
fn the_person_at_the_machine_approves_his_own_and_the_record_says_so() {
    let gateway = Gateway::over(site(""));
    let config = fs::read_to_string(gateway.folder().join("refmon.toml")).unwrap();
    fs::write(
        gateway.folder().join("refmon.toml"),
        config.replace("kind = \"keys\"", "kind = \"keys\"\nuser = \"me\""),
    )
    .unwrap();
    let me = key(&gateway, "me", "local", USE);
    let hold = held(&gateway, &me, "x");
    assert_eq!(decide(&gateway, &me, &hold, "approve").0, 403);
    assert_eq!(gateway.command(&["holds", "approve", &hold, "--reason", "mine"])["state"], "approved");
    let records = gateway.command(&["audit", "search", "--kind", "resolution"]);
    assert_eq!((&records[0]["self_approved"], &records[0]["identity"]), (&json!(true), &json!("local")));
    assert_eq!(gateway.command(&["holds", "show", &hold])["decisions"][0]["self_approved"], true);
    assert_eq!(ask(&gateway, &me, "x"), Value::Null);
    assert_eq!(gateway.command(&["holds", "figures"])["placed"], 1);
}

#[test]
fn a_scope_that_was_lost_meanwhile_decides_nothing() {
    let gateway = Gateway::over(site(""));
    let (ada, boss) = (key(&gateway, "ada", "local", USE), key(&gateway, "boss", "local", USE));
    let hold = held(&gateway, &ada, "x");
    let path = format!("/v1/holds/{hold}");
    let add = ["grant", "add", "--user", "boss", "--scope", "refmon:approve", "--for", "1h", "--reason", "r"];
    let grant = gateway.command(&add)["grant"].as_str().unwrap().to_owned();
    assert_eq!(get(&gateway, &boss, &path).0, 200);
    gateway.command(&["grant", "revoke", &grant]);
    assert_eq!(decide(&gateway, &boss, &hold, "approve").0, 404);
    assert_eq!(get(&gateway, &boss, &path).0, 404);
    assert_eq!(get(&gateway, &ada, &path).1["state"], "pending");
}

#[test]
fn a_hold_of_another_tenant_of_somebody_else_and_none_at_all_answer_byte_for_byte_alike() {
    let gateway = Gateway::over(site(""));
    let ada = key(&gateway, "ada", "local", USE);
    let hold = held(&gateway, &ada, "canary");
    let missing = "01900000-0000-7000-8000-000000000000";
    for (user, tenant, scopes) in [("boss", "other", ALL), ("ada", "other", ALL), ("eve", "local", USE)] {
        let key = key(&gateway, user, tenant, scopes);
        for (method, verb) in [("GET", ""), ("POST", "/approve"), ("POST", "/deny")] {
            let ask = |id: &str| api(&gateway, &key, method, &format!("/v1/holds/{id}{verb}"), "{}");
            let nothing = ask(missing);
            assert_eq!((nothing.status, nothing.headers["content-type"].as_str()), (404, "application/problem+json"));
            for id in [hold.as_str(), "x", "..", "%20"] {
                assert_eq!(ask(id), nothing, "{user} {tenant} {method} {id}");
            }
        }
        let (_, list) = get(&gateway, &key, "/v1/holds");
        assert_eq!((&list["holds"], &list["batches"], &list["counts"]["pending"]), (&json!([]), &json!([]), &json!(0)));
    }
    // Who asked sees that it waits, what he sent, and nothing of who decides.
    let (_, own) = get(&gateway, &ada, &format!("/v1/holds/{hold}"));
    assert_eq!((&own["state"], &own["arguments"]), (&json!("pending"), &json!("{\"text\":\"canary\"}")));
    assert!(own.get("decisions").is_none() && own.get("why").is_none(), "{own}");
    assert_eq!(get(&gateway, &ada, "/v1/holds").1["batches"], json!([]));
}

#[test]
fn of_two_who_approve_at_once_one_does_and_both_are_told_the_truth() {
    let gateway = Gateway::over(site(""));
    let ada = key(&gateway, "ada", "local", USE);
    let bosses: Vec<String> = ["b", "c", "d", "e"].map(|user| key(&gateway, user, "local", ALL)).to_vec();
    for round in 0..5 {
        let hold = held(&gateway, &ada, &format!("x{round}"));
        let answers: Vec<(u16, Value)> = thread::scope(|scope| {
            let asked: Vec<_> =
                bosses.iter().map(|boss| scope.spawn(|| decide(&gateway, boss, &hold, "approve"))).collect();
            asked.into_iter().map(|one| one.join().unwrap()).collect()
        });
        assert_eq!(answers.iter().filter(|(status, body)| *status == 200 && body["changed"] == true).count(), 1);
        let late = |(status, body): &&(u16, Value)| *status == 409 && body["state"] == "approved";
        assert_eq!(answers.iter().filter(late).count(), 3, "{answers:?}");
        assert_eq!(ask(&gateway, &ada, &format!("x{round}")), Value::Null);
        assert_eq!(gateway.log("one").len(), round + 1);
    }
    assert_eq!(gateway.command(&["audit", "search", "--kind", "resolution"]).as_array().unwrap().len(), 5);
}

#[test]
fn where_policy_wants_two_people_two_approve_and_one_denies() {
    let gateway = Gateway::over(site(
        r#"@id("two") @reason("two look at it") @approval("operator") @approvers("2")
           forbid (principal, action, resource) unless { context.granted.contains("approval:operator") };"#,
    ));
    let ada = key(&gateway, "ada", "local", USE);
    let (bob, eve) = (key(&gateway, "bob", "local", ALL), key(&gateway, "eve", "local", ALL));
    let hold = held(&gateway, &ada, "x");
    let first = json!({ "hold": hold, "state": "pending", "approved": 1, "needed": 2, "changed": true });
    assert_eq!(decide(&gateway, &bob, &hold, "approve"), (200, first));
    assert_eq!(decide(&gateway, &bob, &hold, "approve").1["changed"], false);
    assert_eq!(held(&gateway, &ada, "x"), hold, "one is not two");
    let seen = get(&gateway, &eve, &format!("/v1/holds/{hold}")).1;
    assert_eq!(
        (&seen["approved"], &seen["needed"], &seen["decisions"][0]["user"]),
        (&json!(1), &json!(2), &json!("bob"))
    );
    assert_eq!(decide(&gateway, &eve, &hold, "approve").1["state"], "approved");
    assert_eq!(ask(&gateway, &ada, "x"), Value::Null);
    let numbers: Vec<Value> = gateway.command(&["audit", "search", "--kind", "resolution"]).as_array().unwrap().clone();
    assert_eq!(numbers.iter().map(|one| one["number"].as_u64().unwrap()).collect::<Vec<_>>(), [1, 2]);
    assert!(numbers[0]["by"] != numbers[1]["by"] && numbers[0]["needed"] == 2);
    let hold = held(&gateway, &ada, "y");
    decide(&gateway, &bob, &hold, "approve");
    assert_eq!(decide(&gateway, &eve, &hold, "deny").1["state"], "denied");
    assert_eq!(gateway.log("one").len(), 1);
}

#[test]
fn a_denied_call_stays_denied_and_is_recorded_as_that() {
    let gateway = Gateway::over(site(""));
    let (ada, boss) = (key(&gateway, "ada", "local", USE), key(&gateway, "boss", "local", ALL));
    let hold = held(&gateway, &ada, "x");
    assert_eq!(decide(&gateway, &boss, &hold, "deny").1["state"], "denied");
    for _ in 0..3 {
        let verdict = ask(&gateway, &ada, "x");
        assert_eq!(
            (&verdict["decision"], &verdict["reason"]),
            (&json!("deny"), &json!("approval.denied")),
            "{verdict}"
        );
        assert_eq!(verdict["remedies"], json!(["ask_operator"]));
    }
    let own = held(&gateway, &ada, "y");
    assert_eq!(decide(&gateway, &ada, &own, "deny").1["state"], "denied", "who asked may withdraw");
    let denied = gateway.command(&["audit", "search", "--reason", "approval.denied"]);
    assert_eq!((denied.as_array().unwrap().len(), &denied[0]["hold"]), (3, &json!(hold)));
    let counts = &get(&gateway, &boss, "/v1/holds").1["counts"];
    assert_eq!((&counts["denied"], &counts["pending"]), (&json!(2), &json!(0)));
}

#[test]
fn one_persons_held_calls_are_not_all_that_a_tenant_may_have() {
    let gateway = Gateway::over(site(""));
    let (eve, ada) = (key(&gateway, "eve", "local", USE), key(&gateway, "ada", "local", USE));
    for number in 0..64 {
        held(&gateway, &eve, &number.to_string());
    }
    let verdict = ask(&gateway, &eve, "more");
    assert_eq!((&verdict["decision"], &verdict["reason"]), (&json!("deny"), &json!("holds.full")));
    assert_eq!(verdict["remedies"], json!(["decide_earlier"]));
    let first = held(&gateway, &eve, "0");
    held(&gateway, &ada, "own");
    decide(&gateway, &eve, &first, "deny");
    held(&gateway, &eve, "more");

    // Ranked, paged, counted, put together.
    let boss = key(&gateway, "boss", "local", ALL);
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let (status, page) = get(&gateway, &boss, &format!("/v1/holds?state=pending&limit=30{cursor}"));
        assert_eq!((status, &page["counts"]["pending"], &page["batches"][0]["count"]), (200, &json!(65), &json!(65)));
        seen.extend(page["holds"].as_array().unwrap().iter().map(|hold| hold["hold"].as_str().unwrap().to_owned()));
        let Some(next) = page["next"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    let mut sorted = seen.clone();
    sorted.sort();
    sorted.dedup();
    assert_eq!((seen.len(), sorted.len()), (65, 65));
    assert_eq!(gateway.command(&["holds", "list"]).as_array().unwrap().len(), 65);
    assert_eq!(get(&gateway, &eve, "/v1/holds?state=pending").1["holds"].as_array().unwrap().len(), 64);
}

#[test]
fn what_strangers_wrote_is_shown_as_what_it_is_and_never_as_markup() {
    let gateway = Gateway::over(site(""));
    let (ada, boss) = (key(&gateway, "ada", "local", USE), key(&gateway, "boss", "local", ALL));
    let text = format!("\u{202e}\u{200b}\u{3164}\u{1b}[2J\n<script>alert(1)</script>\u{430}{}", "y".repeat(200_000));
    let hold = held(&gateway, &ada, &text);
    let answer = api(&gateway, &boss, "GET", &format!("/v1/holds/{hold}"), "");
    assert_eq!(answer.headers["content-type"], "application/json");
    assert_eq!(answer.headers["x-content-type-options"], "nosniff");
    for hidden in ['\u{202e}', '\u{200b}', '\u{3164}', '\u{1b}', '\n'] {
        assert!(!answer.body.contains(hidden), "{hidden:?}");
    }
    let seen: Value = serde_json::from_str(&answer.body).unwrap();
    let arguments = seen["arguments"].as_str().unwrap();
    assert!(arguments.contains("\\u{202e}\\u{200b}\\u{3164}") && arguments.contains("<script>"), "as text");
    assert!(seen["arguments_ascii"].as_str().unwrap().contains("\\u0430") && arguments.contains('\u{430}'));
    assert!(seen["argument_bytes"].as_u64().unwrap() > 200_000);
    assert_eq!(ask(&gateway, &ada, &"y".repeat(1 << 20))["reason"], "holds.full", "nobody can look at that");
    let page = api(&gateway, &boss, "GET", "/v1/holds", "");
    assert!(page.body.len() < 4_096, "a list has no arguments");
    let shown = crate::gateway::refmon(gateway.folder(), &["holds", "show", &hold]).output().unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(!shown.contains(['\u{202e}', '\u{200b}', '\u{3164}', '\u{1b}']) && shown.contains("look at all of them"));
}

#[test]
fn a_request_that_is_not_in_order_decides_nothing() {
    let gateway = Gateway::over(site(""));
    let (ada, boss) = (key(&gateway, "ada", "local", USE), key(&gateway, "boss", "local", ALL));
    let hold = held(&gateway, &ada, "x");
    let path = format!("/v1/holds/{hold}/approve");
    let long = json!({ "reason": "x".repeat(1_025) }).to_string();
    for (method, path, body, status) in [
        ("GET", path.as_str(), "", 405),
        ("DELETE", "/v1/holds", "", 405),
        ("POST", "/v1/holds", "{}", 405),
        ("POST", path.as_str(), "", 400),
        ("POST", path.as_str(), "[]", 400),
        ("POST", path.as_str(), r#"{"reason":1}"#, 400),
        ("POST", path.as_str(), r#"{"reason":"a","reason":"b"}"#, 400),
        ("POST", path.as_str(), r#"{"user":"other"}"#, 400),
        ("POST", path.as_str(), long.as_str(), 400),
        ("GET", "/v1/holds?tenant=other", "", 400),
        ("GET", "/v1/holds?state=waiting", "", 400),
        ("GET", "/v1/holds?limit=0", "", 400),
        ("GET", "/v1/holds?cursor=x", "", 400),
        ("POST", "/v1/holds/x/forget", "{}", 404),
        ("GET", "/v1/holdsx", "", 404),
    ] {
        let answer = api(&gateway, &boss, method, path, body);
        assert_eq!(answer.status, status, "{method} {path} {body}: {answer:?}");
        assert_eq!(answer.headers["content-type"], "application/problem+json", "{answer:?}");
    }
    let bearer = format!("Bearer {boss}");
    let plain = gateway.written("POST", &[("authorization", &bearer), ("content-type", "text/plain")], "{}");
    assert_eq!(gateway.raw(plain.replacen(" /mcp ", &format!(" {path} "), 1).as_bytes()).status, 415);
    assert_eq!(get(&gateway, &ada, &format!("/v1/holds/{hold}")).1["state"], "pending");
}

/// Sends a request, and kills the gateway some microseconds later, whatever it has done by then.
fn cut_off(gateway: Gateway, request: &str, micros: u64) -> TempDir {
    let mut stream = gateway.connect();
    stream.write_all(request.as_bytes()).unwrap();
    thread::sleep(Duration::from_micros(micros));
    gateway.kill();
    gateway.ended().0
}

// 4 rounds of three kills, or 200 with `REFMON_LONG=1`.
#[test]
fn a_kill_between_hold_approval_and_run_loses_no_decision_and_runs_nothing_twice() {
    let rounds = if std::env::var_os("REFMON_LONG").is_some() { 200 } else { 4 };
    let mut gateway = Gateway::over(site(""));
    let (ada, boss) = (key(&gateway, "ada", "local", USE), key(&gateway, "boss", "local", ALL));
    let bearers = [&ada, &boss].map(|key| format!("Bearer {key}"));
    for round in 0..rounds {
        let moment = |salt: u64| (round * 7_919 + salt * 104_729) % 9_000;
        let text = format!("round {round}");
        let runs = |gateway: &Gateway| gateway.log("one").iter().filter(|call| call[1]["text"] == text).count();
        let state =
            |gateway: &Gateway, hold: &str| get(gateway, &boss, &format!("/v1/holds/{hold}")).1["state"].clone();
        let (headers, body) = modern("tools/call", json!({ "name": "echo", "arguments": { "text": text } }));
        let mut headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        headers.push(("authorization", &bearers[0]));

        let request = gateway.written("POST", &headers, &body);
        gateway = Gateway::over(cut_off(gateway, &request, moment(1)));
        let hold = held(&gateway, &ada, &text);
        let request = gateway.written("POST", &[("authorization", &bearers[1])], "{}");
        let request = request.replacen(" /mcp ", &format!(" /v1/holds/{hold}/approve "), 1);
        gateway = Gateway::over(cut_off(gateway, &request, moment(2)));
        let before = state(&gateway, &hold);
        assert!(before == "pending" || before == "approved", "{before}");
        let (status, decided) = decide(&gateway, &boss, &hold, "approve");
        assert_eq!((status, &decided["changed"]), (200, &json!(before == "pending")), "what was decided stays decided");
        assert_eq!(runs(&gateway), 0);

        // The server has to be there, or every kill comes before the run.
        held(&gateway, &ada, "another call");
        let request = gateway.written("POST", &headers, &body);
        gateway = Gateway::over(cut_off(gateway, &request, moment(3)));
        let after = state(&gateway, &hold);
        let ran = runs(&gateway);
        if after == "approved" {
            assert_eq!(ran, 0, "what ran has used its approval up");
            assert_eq!(ask(&gateway, &ada, &text), Value::Null, "the approval is not lost");
            assert_eq!(runs(&gateway), 1);
        } else {
            assert_eq!(after, "spent");
            assert!(ran <= 1);
        }
        assert!(held(&gateway, &ada, &text) != hold && runs(&gateway) <= 1, "nothing runs twice");
    }
    let (folder, _) = gateway.stop();
    let verified = crate::gateway::refmon(folder.path(), &["--json", "audit", "verify"]).output().unwrap();
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
}
