//! The console at `/`: people log in, look and decide with a browser.

use std::thread;

use serde_json::Value;

use crate::gateway::{Answer, Gateway, LOCAL};
use crate::holds::{ask, held, key, site};

const ALL: &[&str] = &["refmon:approve", "refmon:view"];
const USE: &[&str] = &["one:use"];

/// A request as a browser would write it, or as one never would.
fn visit(gateway: &Gateway, request: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let (method, path) = request.split_once(' ').unwrap();
    let mut all = vec![("content-type", "application/x-www-form-urlencoded")];
    all.extend(headers);
    let written = gateway.written(method, &all, body);
    gateway.raw(written.replacen(" /mcp ", &format!(" {path} "), 1).as_bytes())
}

fn origin(gateway: &Gateway) -> String {
    format!("http://localhost:{}", gateway.port)
}

/// Somebody who is logged in.
struct Person<'g> {
    gateway: &'g Gateway,
    cookie: String,
    token: String,
}

impl<'g> Person<'g> {
    fn log_in(gateway: &'g Gateway, key: &str) -> Self {
        let answer = visit(gateway, "POST /login", &[("origin", &origin(gateway))], &format!("key={key}"));
        assert_eq!((answer.status, answer.headers["location"].as_str()), (303, "/"), "{answer:?}");
        let cookie = answer.headers["set-cookie"].split(';').next().unwrap().to_owned();
        let mut person = Self { gateway, cookie, token: String::new() };
        let page = person.get("/");
        assert_eq!(page.status, 200, "{page:?}");
        person.token = page.body.split("name=\"token\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
        person
    }

    fn get(&self, path: &str) -> Answer {
        visit(self.gateway, &format!("GET {path}"), &[("cookie", &self.cookie)], "")
    }

    fn post(&self, path: &str, form: &str) -> Answer {
        let headers = [("cookie", self.cookie.as_str()), ("origin", &origin(self.gateway))];
        visit(self.gateway, &format!("POST {path}"), &headers, &format!("token={}&{form}", self.token))
    }

    fn decide(&self, hold: &str, verb: &str) -> Answer {
        self.post(&format!("/holds/{hold}"), &format!("decision={verb}&reason=as+agreed"))
    }
}

fn state(gateway: &Gateway, hold: &str) -> Value {
    gateway.command(&["holds", "show", hold])["state"].clone()
}

#[test]
fn a_person_with_a_key_approves_in_the_console_and_the_call_runs_once() {
    let gateway = Gateway::over(site(""));
    let (ada, boss) = (key(&gateway, "ada", "local", USE), key(&gateway, "boss", "local", ALL));
    let hold = held(&gateway, &ada, "x");
    let person = Person::log_in(&gateway, &boss);
    let queue = person.get("/");
    assert!(queue.body.contains(&format!("/holds/{hold}")) && queue.body.contains("ada"), "{}", queue.body);
    let page = person.get(&format!("/holds/{hold}")).body;
    for said in
        ["What happens next", "exactly this call runs once", "the contract wants a person to decide", "external"]
    {
        assert!(page.contains(said), "{said}: {page}");
    }
    let answer = person.decide(&hold, "approve");
    assert_eq!((answer.status, answer.headers["location"].clone()), (303, format!("/holds/{hold}")), "{answer:?}");
    let page = person.get(&format!("/holds/{hold}")).body;
    assert!(page.contains("as agreed") && page.contains("sends it again until"), "{page}");
    assert!(gateway.log("one").is_empty());
    assert_eq!(ask(&gateway, &ada, "x"), Value::Null);
    assert_eq!(gateway.log("one").len(), 1);
    assert_eq!(state(&gateway, &hold), "spent");

    // The call's life, from the attempt that waited to the end.
    let calls = person.get("/calls?reason=approved").body;
    let call = calls.split("href=\"/calls/").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    let life = person.get(&format!("/calls/{call}")).body;
    for step in ["Door", "Held", "Approved", "Run", "Outcome", "Record", "<svg"] {
        assert!(life.contains(step), "{step}: {life}");
    }
    // Who asked sees the own call only, and cannot approve it.
    let own = Person::log_in(&gateway, &ada);
    let page = own.get(&format!("/holds/{hold}"));
    assert_eq!(page.status, 200);
    assert!(!page.body.contains("boss") && !page.body.contains("as agreed"), "{}", page.body);
    assert_eq!(own.get("/calls").status, 404, "and without the scope nothing of the tenant");
}

#[test]
fn without_a_session_a_page_leads_to_the_login_and_a_form_does_nothing() {
    let gateway = Gateway::over(site(""));
    let ada = key(&gateway, "ada", "local", USE);
    let hold = held(&gateway, &ada, "x");
    for (path, next) in [("/", "/login?next=%2F"), ("/calls?tool=x", "/login?next=%2Fcalls%3Ftool%3Dx")] {
        let answer = visit(&gateway, &format!("GET {path}"), &[], "");
        assert_eq!((answer.status, answer.headers["location"].as_str()), (303, next), "{path}");
    }
    let own = origin(&gateway);
    let answer = visit(&gateway, &format!("POST /holds/{hold}"), &[("origin", &own)], "decision=approve");
    assert_eq!(answer.status, 401);
    assert!(answer.body.contains("so nothing was done"), "{}", answer.body);
    assert_eq!(state(&gateway, &hold), "pending");
    assert_eq!(visit(&gateway, "GET /nowhere", &[], "").status, 404, "what is no page is nobody's");
}

#[test]
fn whatever_is_wrong_with_a_key_gets_one_answer() {
    let gateway = Gateway::start(&[("one", "modern")], LOCAL);
    let made = gateway.command(&["key", "add", "--user", "ada", "--scope", "refmon:view"]);
    let (id, key) = (made["id"].as_str().unwrap(), made["key"].as_str().unwrap());
    gateway.command(&["key", "revoke", id]);
    let own = origin(&gateway);
    let attempt = |form: &str| visit(&gateway, "POST /login", &[("origin", &own)], form);
    let refused = attempt("key=refmon_x");
    assert_eq!(refused.status, 401);
    assert!(!refused.headers.contains_key("set-cookie"));
    let revoked = format!("key={key}");
    for form in [revoked.as_str(), "key=", "", "key=x&key=y", "key=eyJhbGciOiJub25lIn0.e30.", "key=%00"] {
        assert_eq!(attempt(form), refused, "{form}");
    }
    // Whoever sits at the machine is nobody here without a key.
    assert_eq!(visit(&gateway, "GET /", &[], "").status, 303);
}

#[test]
fn a_form_without_the_token_or_from_another_page_decides_nothing() {
    let gateway = Gateway::over(site(""));
    let (ada, boss) = (key(&gateway, "ada", "local", USE), key(&gateway, "boss", "local", ALL));
    let hold = held(&gateway, &ada, "x");
    let person = Person::log_in(&gateway, &boss);
    let other = Person::log_in(&gateway, &boss);
    let (own, cookie) = (origin(&gateway), ("cookie", person.cookie.as_str()));
    let fine = format!("decision=approve&token={}", person.token);
    let (others, twice) = (format!("decision=approve&token={}", other.token), format!("{fine}&token=x"));
    let fine = fine.as_str();
    let elsewhere = format!("http://127.0.0.1:{}", gateway.port);
    for (headers, form) in [
        (vec![cookie, ("origin", own.as_str())], "decision=approve"),
        (vec![cookie, ("origin", &own)], "decision=approve&token="),
        (vec![cookie, ("origin", &own)], &others),
        (vec![cookie, ("origin", &own)], &twice),
        (vec![cookie], fine),
        (vec![cookie, ("origin", &own), ("sec-fetch-site", "cross-site")], fine),
        (vec![cookie, ("origin", &elsewhere)], fine),
        (vec![cookie, ("origin", "http://evil.example")], fine),
        (vec![cookie, ("origin", "null")], fine),
    ] {
        let answer = visit(&gateway, &format!("POST /holds/{hold}"), &headers, form);
        assert_eq!(answer.status, 403, "{headers:?} {form}");
    }
    assert_eq!(visit(&gateway, &format!("GET /holds/{hold}?{fine}"), &[cookie], "").status, 200);
    assert_eq!(state(&gateway, &hold), "pending");
    assert_eq!(person.decide(&hold, "deny").status, 303);
    assert_eq!(state(&gateway, &hold), "denied");
}

#[test]
fn a_cookie_opens_no_api_and_a_key_no_page() {
    let gateway = Gateway::over(site(""));
    let boss = key(&gateway, "boss", "local", ALL);
    let person = Person::log_in(&gateway, &boss);
    let cookie = ("cookie", person.cookie.as_str());
    for request in ["GET /v1/holds", "POST /mcp", "GET /v1/openapi.json", "POST /access/v1/evaluation", "GET /v1/halts"]
    {
        assert_eq!(visit(&gateway, request, &[cookie], "").status, 401, "{request}");
    }
    let bearer = format!("Bearer {boss}");
    assert_eq!(visit(&gateway, "GET /", &[("authorization", &bearer)], "").status, 303);
    let own = origin(&gateway);
    let headers = [("authorization", bearer.as_str()), ("origin", own.as_str())];
    assert_eq!(visit(&gateway, "POST /logout", &headers, "").status, 401);
    // Beside a session, another credential changes nothing.
    assert_eq!(visit(&gateway, "GET /", &[cookie, ("authorization", "Bearer refmon_x")], "").status, 200);
    // Two cookies of one name are none.
    let two = format!("{}; {}", person.cookie, person.cookie);
    assert_eq!(visit(&gateway, "GET /", &[("cookie", &two)], "").status, 303);
}

#[test]
fn what_is_foreign_and_what_is_missing_are_one_page_byte_for_byte() {
    let gateway = Gateway::over(site(""));
    let foreign = held(&gateway, &key(&gateway, "eve", "other", USE), "x");
    let own = held(&gateway, &key(&gateway, "ada", "local", USE), "x");
    let person = Person::log_in(&gateway, &key(&gateway, "zoe", "local", &["one:use"]));
    let missing = person.get("/holds/01a2b3c4-0000-7000-8000-000000000000");
    assert_eq!(missing.status, 404);
    for path in [
        &format!("/holds/{foreign}"),
        &format!("/holds/{own}"),
        "/holds/x",
        "/calls",
        "/holds/x/y/z",
        "/agents",
        "/servers",
        "/policies",
        "/budgets",
        "/health",
    ] {
        assert_eq!(person.get(path), missing, "{path}");
    }
    for hold in [&foreign, &own] {
        assert_eq!(person.decide(hold, "approve"), missing);
        assert_eq!(person.decide(hold, "deny"), missing);
        assert_eq!(person.get(&format!("/holds/{hold}/arguments")), missing);
    }
    // With every scope, another tenant's is still not there.
    let boss = Person::log_in(&gateway, &key(&gateway, "boss", "local", ALL));
    let missing = boss.get("/holds/01a2b3c4-0000-7000-8000-000000000000");
    assert_eq!(boss.get(&format!("/holds/{foreign}")), missing);
    assert_eq!(boss.decide(&foreign, "approve"), missing);
    let calls = gateway.command(&["audit", "search", "--tenant", "other", "--kind", "attempt"]);
    let call = calls[0]["call"].as_str().unwrap();
    assert_eq!(boss.get(&format!("/calls/{call}")), missing);
    assert!(!boss.get("/calls").body.contains(call) && !boss.get("/").body.contains(&foreign));
    assert_eq!(gateway.command(&["holds", "--tenant", "other", "show", &foreign])["state"], "pending");
}

#[test]
fn a_session_ends_with_its_key_and_its_logout_and_none_is_taken_over() {
    let gateway = Gateway::over(site(""));
    let made = gateway.command(&["key", "add", "--user", "boss", "--scope", "refmon:approve"]);
    let (id, key) = (made["id"].as_str().unwrap(), made["key"].as_str().unwrap());
    let hold = held(&gateway, &self::key(&gateway, "ada", "local", USE), "x");
    let (one, two) = (Person::log_in(&gateway, key), Person::log_in(&gateway, key));
    assert_ne!(one.cookie, two.cookie);
    // A cookie that somebody else has chosen is no session, and stays none after a login.
    let (name, _) = one.cookie.split_once('=').unwrap();
    let planted = format!("{name}={}", "A".repeat(43));
    let own = origin(&gateway);
    let answer = visit(&gateway, "POST /login", &[("origin", &own), ("cookie", &planted)], &format!("key={key}"));
    assert!(!answer.headers["set-cookie"].contains("AAAA"), "{answer:?}");
    assert_eq!(visit(&gateway, "GET /", &[("cookie", &planted)], "").status, 303);

    assert_eq!(one.post("/logout", "").status, 303);
    assert_eq!((one.get("/").status, two.get("/").status), (303, 200));
    gateway.command(&["key", "revoke", id]);
    assert_eq!(two.decide(&hold, "approve").status, 401);
    assert_eq!((two.get("/").status, state(&gateway, &hold)), (303, "pending".into()));
}

#[test]
fn a_scope_that_was_lost_meanwhile_decides_nothing_in_the_console() {
    let gateway = Gateway::over(site(""));
    let hold = held(&gateway, &key(&gateway, "ada", "local", USE), "x");
    let boss = Person::log_in(&gateway, &key(&gateway, "boss", "local", USE));
    let give = ["grant", "add", "--user", "boss", "--scope", "refmon:approve", "--for", "1h", "--reason", "ill"];
    let grant = gateway.command(&give)["grant"].as_str().map(str::to_owned);
    let grant = grant.unwrap_or_else(|| gateway.command(&["grant", "list"])[0]["grant"].as_str().unwrap().to_owned());
    assert!(boss.get(&format!("/holds/{hold}")).body.contains("Approve once"));
    gateway.command(&["grant", "revoke", &grant]);
    assert_eq!(boss.decide(&hold, "approve").status, 404);
    assert_eq!(state(&gateway, &hold), "pending");
}

#[test]
fn of_two_who_decide_at_once_in_the_console_both_are_told_the_truth() {
    let gateway = Gateway::over(site(""));
    let ada = key(&gateway, "ada", "local", USE);
    let people: Vec<String> = ["boss", "chief"].iter().map(|user| key(&gateway, user, "local", ALL)).collect();
    let people: Vec<Person<'_>> = people.iter().map(|key| Person::log_in(&gateway, key)).collect();
    for round in 0..8 {
        let hold = held(&gateway, &ada, &format!("round {round}"));
        let answers: Vec<Answer> = thread::scope(|scope| {
            let deciding: Vec<_> = people
                .iter()
                .zip(["approve", "deny"])
                .map(|(person, verb)| {
                    let hold = &hold;
                    scope.spawn(move || person.decide(hold, verb))
                })
                .collect();
            deciding.into_iter().map(|one| one.join().unwrap()).collect()
        });
        let state = state(&gateway, &hold);
        let won = if state == "approved" { 0 } else { 1 };
        assert!(state == "approved" || state == "denied", "{state}");
        assert_eq!((answers[won].status, answers[1 - won].status), (303, 409), "{answers:?}");
        assert!(answers[1 - won].body.contains("Nothing changed: this call has been"), "{}", answers[1 - won].body);
    }
    assert!(gateway.log("one").is_empty());
}

#[test]
fn where_two_people_are_needed_the_page_says_how_many_have_approved() {
    let policy = r#"@id("two") @approval("operator") @approvers("2") @reason("two look") forbid (principal, action, resource)
        unless { context.granted.contains("approval:operator") };"#;
    let gateway = Gateway::over(site(policy));
    let hold = held(&gateway, &key(&gateway, "ada", "local", USE), "x");
    let boss = Person::log_in(&gateway, &key(&gateway, "boss", "local", ALL));
    let page = boss.get(&format!("/holds/{hold}")).body;
    assert!(page.contains("0 of 2") && page.contains("two look") && page.contains("more.cedar:1"), "{page}");
    assert_eq!(boss.decide(&hold, "approve").status, 303);
    let page = boss.get(&format!("/holds/{hold}")).body;
    assert!(page.contains("1 of 2") && !page.contains("Approve once"), "{page}");
    let chief = Person::log_in(&gateway, &key(&gateway, "chief", "local", ALL));
    assert_eq!(chief.decide(&hold, "approve").status, 303);
    assert_eq!(state(&gateway, &hold), "approved");
}

#[test]
fn pages_have_no_script_of_strangers_and_every_answer_its_headers() {
    let gateway = Gateway::over(site(""));
    let agent = "<img/src=x>";
    let made = gateway.command(&["key", "add", "--user", "<script>u</script>", "--agent", agent, "--scope", "one:use"]);
    let text = "</pre><script>alert(1)</script><img src=x onerror=alert(1)>\u{202e}\u{200b}\u{1b}[2J";
    let hold = held(&gateway, made["key"].as_str().unwrap(), text);
    let unknown = "<svg/onload=alert(1)>";
    gateway.modern(made["key"].as_str(), "tools/call", serde_json::json!({ "name": unknown, "arguments": {} }));
    let boss = Person::log_in(&gateway, &key(&gateway, "boss", "local", ALL));
    let calls = boss.get("/calls?q=%3Cscript%3E&tool=%22%3E%3Cscript%3E").body;
    let asked = boss.get("/agents?user=%3Cscript%3E&agent=%22%3E%3Cscript%3E&scopes=%3Cimg").body;
    let form = "operation=one%2Fecho&arguments=%3C%2Ftextarea%3E%3Cscript%3E&user=%3Cscript%3E";
    let explained = boss.post("/policies", form).body;
    let (queue, one, all) = (boss.get("/"), boss.get(&format!("/holds/{hold}")), boss.get("/calls"));
    let agents = boss.get("/agents");
    for page in [queue.body, one.body, all.body, calls, agents.body, asked, explained] {
        for raw in ["<script>", "<img", "<svg/", "\u{202e}", "\u{200b}", "\u{1b}", "onerror=alert(1)>\\u{202e}<"] {
            assert!(!page.contains(raw), "{raw}: {page}");
        }
        assert!(page.matches("<script ").count() == 1 && !page.contains(" style="), "{page}");
    }
    let page = boss.get(&format!("/holds/{hold}")).body;
    assert!(
        page.contains("&lt;script&gt;alert(1)&lt;/script&gt;") && page.contains("\\u{202e}\\u{200b}</mark>"),
        "{page}"
    );
    let paths = ["/", "/login", "/assets/console.css", &format!("/holds/{hold}/arguments"), "/holds/x"];
    for path in paths {
        let answer = boss.get(path);
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "same-origin"),
            ("cross-origin-opener-policy", "same-origin"),
            ("cache-control", "no-store"),
            ("x-frame-options", "DENY"),
        ] {
            assert_eq!(answer.headers.get(name).map(String::as_str), Some(value), "{path} {name}");
        }
        let policy = &answer.headers["content-security-policy"];
        for part in [
            "default-src 'none'",
            "script-src 'self'",
            "frame-ancestors 'none'",
            "base-uri 'none'",
            "form-action 'self'",
        ] {
            assert!(policy.contains(part), "{policy}");
        }
        assert!(!policy.contains("unsafe"), "{policy}");
    }
    let cookie = visit(
        &gateway,
        "POST /login",
        &[("origin", &origin(&gateway))],
        &format!("key={}", key(&gateway, "x", "local", ALL)),
    );
    let cookie = &cookie.headers["set-cookie"];
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax") && cookie.contains("Path=/"), "{cookie}");
}

#[test]
fn arguments_of_megabytes_make_a_page_that_can_be_read() {
    let gateway = Gateway::over(site(""));
    let ada = key(&gateway, "ada", "local", USE);
    let hold = held(&gateway, &ada, &"\u{202e}x".repeat(60_000));
    let boss = Person::log_in(&gateway, &key(&gateway, "boss", "local", ALL));
    let page = boss.get(&format!("/holds/{hold}"));
    assert!(page.status == 200 && page.body.len() < 4_000_000, "{}", page.body.len());
    assert!(page.body.contains("bytes before you decide") && page.body.contains("more follow"));
    let whole = boss.get(&format!("/holds/{hold}/arguments"));
    assert_eq!(whole.headers["content-type"], "text/plain; charset=utf-8");
    assert_eq!(whole.body.matches("\\u{202e}x").count(), 60_000);
}

#[test]
fn the_console_says_who_may_do_what_in_the_visitors_tenant() {
    let gateway = Gateway::over(site(""));
    let boss = Person::log_in(&gateway, &key(&gateway, "boss", "local", ALL));
    let made = gateway.command(&["key", "add", "--user", "ada", "--agent", "planner", "--scope", "one:use"]);
    let (id, ada) = (made["id"].as_str().unwrap(), made["key"].as_str().unwrap());
    let foreign = gateway.command(&["key", "add", "--user", "mallory", "--tenant", "other", "--scope", "one:use"]);
    let foreign = foreign["id"].as_str().unwrap();
    held(&gateway, ada, "x");
    let page = boss.get(&format!("/agents?key={id}")).body;
    for said in ["What", "ada", "planner", "held", "the contract wants a person to decide", "Agents of the last day"] {
        assert!(page.contains(said), "{said}: {page}");
    }
    assert!(!page.contains(foreign) && !page.contains("mallory"), "{page}");
    let missing = "There is no such caller here";
    for asked in [format!("key={foreign}"), "key=x".to_owned(), "user=a+b".to_owned(), "user=a&scopes=%22".to_owned()] {
        assert!(boss.get(&format!("/agents?{asked}")).body.contains(missing), "{asked}");
    }
    let page = boss.get("/agents?user=zoe&scopes=other:use").body;
    assert!(page.contains("the caller lacks a scope that the tool requires: one:use"), "{page}");
}

#[test]
fn a_call_is_explained_by_the_judge_of_real_ones_and_leaves_no_trace() {
    let gateway = Gateway::over(site(""));
    let boss = Person::log_in(&gateway, &key(&gateway, "boss", "local", ALL));
    let explained = |arguments: &str, scopes: &str| {
        boss.post("/policies", &format!("operation=one%2Fecho&arguments={arguments}&user=ada&scopes={scopes}")).body
    };
    let records = gateway.command(&["audit", "search", "--limit", "1000"]).as_array().unwrap().len();
    for (arguments, scopes, reason) in [
        ("%7B%22text%22%3A%22x%22%7D", "one:use", "hold.contract"),
        ("%7B%22text%22%3A%22x%22%7D", "", "scope.missing"),
        ("%7B%22text%22%3A1%7D", "one:use", "arguments.schema"),
        ("%7B%22a%22%3A1%2C%22a%22%3A2%7D", "one:use", "arguments.malformed"),
    ] {
        let page = explained(arguments, scopes);
        assert!(page.contains(&format!("<code class=\"dim\">{reason}</code>")), "{reason}: {page}");
    }
    assert!(explained("", "a%22b").contains("That is no call"));
    let page = boss.get("/policies").body;
    assert!(page.contains("all is permitted") && page.contains("all.cedar:1") && page.contains("permits"), "{page}");
    assert_eq!(gateway.command(&["audit", "search", "--limit", "1000"]).as_array().unwrap().len(), records);
    assert!(gateway.log("one").is_empty());
}

#[test]
fn a_definition_that_changed_is_shown_with_its_difference() {
    let gateway = Gateway::over(site(""));
    let boss = Person::log_in(&gateway, &key(&gateway, "boss", "local", ALL));
    let page = boss.get("/servers").body;
    assert!(page.contains("pinned") && page.contains("always") && page.contains("contract version 1"), "{page}");
    let page = boss.post("/servers", "server=one").body;
    assert!(page.contains("exactly what its contract was made for"), "{page}");
    let file = gateway.folder().join("contracts/one.definitions.json");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replacen("\"description\":\"echo\"", "\"description\":\"<b>as it was\"", 1)).unwrap();
    let page = boss.post("/servers", "server=one").body;
    assert!(page.contains("1 differences") && page.contains("&lt;b&gt;as it was"), "{page}");
    assert_eq!(boss.post("/servers", "server=two").status, 404);
    assert_eq!(visit(&gateway, "POST /servers", &[("cookie", &boss.cookie)], "").status, 403, "not without a token");
}

#[test]
fn budgets_and_health_are_the_tenants_and_of_this_moment() {
    let limits = r#"
        [authority]
        read_only = [{ user = "intern" }, { tenant = "other", user = "foreigner" }]
        [[authority.budget]]
        per = "tenant"
        calls = 77
        window_seconds = 60
        [[authority.budget]]
        tenant = "other"
        per = "all"
        calls = 88
        window_seconds = 60
    "#;
    let gateway = Gateway::start(&[("one", "modern")], &format!("{}\n{limits}", crate::gateway::KEYS));
    let boss = Person::log_in(&gateway, &key(&gateway, "boss", "local", ALL));
    let page = boss.get("/budgets").body;
    assert!(page.contains("77 calls in 60 s") && page.contains("of intern"), "{page}");
    assert!(!page.contains("88 calls") && !page.contains("foreigner"), "{page}");
    let page = boss.get("/health").body;
    assert!(page.contains("Each call is recorded before it runs") && !page.contains("does not hold"), "{page}");
    gateway.command(&["halt", "--tenant", "local"]);
    let page = boss.get("/health").body;
    assert!(page.contains("the calls of this tenant are halted") && page.contains("does not hold"), "{page}");
}
