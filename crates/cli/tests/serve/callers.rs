//! Who is let in, and what is whose.

use serde_json::json;

use crate::gateway::{Gateway, KEYS, LOCAL, call, folder, refmon};

#[test]
fn without_a_credential_that_is_in_order_nothing_is_reached() {
    let gateway = Gateway::start(&[("one", "legacy")], KEYS);
    let (id, key) = gateway.key("ada", "acme");
    let hello = crate::gateway::request("initialize", json!({ "protocolVersion": "2025-11-25" }));
    let good = format!("Bearer {key}");
    assert_eq!(gateway.ask("POST", &[("authorization", &good)], &hello).status, 200);
    let changed = format!("{good}x");
    let basic = good.replace("Bearer", "Basic");
    for headers in [
        &[][..],
        &[("authorization", "")],
        &[("authorization", "Bearer ")],
        &[("authorization", changed.as_str())],
        &[("authorization", basic.as_str())],
        &[("authorization", key.as_str())],
        &[("authorization", "Bearer refmon_00_00")],
        &[("authorization", good.as_str()), ("authorization", good.as_str())],
        &[("authorization", good.as_str()), ("authorization", "Bearer x")],
    ] {
        for method in ["POST", "GET", "DELETE"] {
            let answer = gateway.ask(method, headers, &hello);
            assert_eq!(answer.status, 401, "{method} {headers:?} {answer:?}");
            assert!(answer.headers["www-authenticate"].starts_with("Bearer realm=\"refmon\""), "{answer:?}");
            assert!(!answer.headers.contains_key("mcp-session-id") && !answer.body.contains("one"), "{answer:?}");
        }
    }
    gateway.command(&["key", "revoke", &id]);
    assert_eq!(gateway.ask("POST", &[("authorization", &good)], &hello).status, 401);
    assert!(gateway.log("one").is_empty());
}

#[test]
fn the_local_person_is_not_whoever_comes_through_a_proxy_or_with_a_credential() {
    let gateway = Gateway::start(&[("one", "legacy")], LOCAL);
    let hello = crate::gateway::request("initialize", json!({ "protocolVersion": "2025-11-25" }));
    assert_eq!(gateway.ask("POST", &[], &hello).status, 200);
    for header in [
        ("x-forwarded-for", "203.0.113.9"),
        ("forwarded", "for=203.0.113.9"),
        ("via", "1.1 proxy"),
        ("x-forwarded-port", "443"),
        ("X-Forwarded-Server", "proxy"),
        ("x-original-forwarded-for", "203.0.113.9"),
        ("cf-connecting-ip", "203.0.113.9"),
        ("true-client-ip", "203.0.113.9"),
        ("x-client-ip", "203.0.113.9"),
        ("tailscale-user-login", "eve@example.org"),
        ("authorization", "Bearer x"),
        ("authorization", "Basic dTpw"),
    ] {
        assert_eq!(gateway.ask("POST", &[header], &hello).status, 401, "{header:?}");
    }
}

#[test]
fn what_others_could_reach_is_not_opened_without_saying_so() {
    for (extra, says) in [
        ("[listen]\nhttp = \"0.0.0.0:0\"", "kind = \"local\""),
        ("[listen]\nhttp = \"127.0.0.1:0\"\nhosts = [\"gate.example\"]", "kind = \"local\""),
        ("[identity]\nkind = \"keys\"\n[listen]\nhttp = \"0.0.0.0:0\"", "behind_tls"),
        ("[identity]\nkind = \"oidc\"", "`issuer`"),
        (
            "[identity]\nkind = \"oidc\"\nissuer = \"http://id.example\"\naudience = \"https://gate.example/mcp\"",
            "https",
        ),
        ("[identity]\nkind = \"keys\"\nissuer = \"https://id.example\"", "kind = \"oidc\""),
    ] {
        let folder = folder(&[("one", "legacy")], extra);
        let out = refmon(folder.path(), &["serve"]).output().unwrap();
        let text = String::from_utf8_lossy(&out.stderr).into_owned();
        assert_eq!(out.status.code(), Some(2), "{extra}: {text}");
        assert!(text.contains(says), "{extra}: {text}");
    }
}

#[test]
fn a_session_of_somebody_else_and_none_at_all_answer_alike() {
    let gateway = Gateway::start(&[("one", "legacy")], KEYS);
    let (_, ada) = gateway.key("ada", "acme");
    let session = gateway.begin(Some(&ada));
    let missing = "0".repeat(64);
    for (user, tenant) in [("bob", "acme"), ("ada", "other")] {
        let (_, key) = gateway.key(user, tenant);
        let bearer = format!("Bearer {key}");
        for method in ["POST", "GET", "DELETE"] {
            let ask = |session: &str| {
                let headers = [("authorization", bearer.as_str()), ("mcp-session-id", session)];
                gateway.ask(method, &headers, &call("echo", json!({ "text": "x" })))
            };
            let (foreign, none) = (ask(&session), ask(&missing));
            assert_eq!(foreign, none, "{method}");
            assert_eq!(foreign.status, 404, "{method}");
        }
    }
    assert!(gateway.log("one").is_empty());
    let answer = gateway.within(&session, Some(&ada), &call("echo", json!({ "text": "mine" })));
    assert_eq!(answer.text(), "mine", "the session outlives the attempts: {answer:?}");
}

#[test]
fn scopes_are_those_of_the_key() {
    let gateway = Gateway::start(&[("one", "legacy")], KEYS);
    let made = gateway.command(&["key", "add", "--user", "eve", "--scope", "two:use"]);
    let key = made["key"].as_str().unwrap();
    let session = gateway.begin(Some(key));
    let answer = gateway.within(&session, Some(key), &call("echo", json!({ "text": "x" })));
    assert_eq!(answer.last()["result"]["_meta"]["refmon.dev/verdict"]["reason"], "scope.missing", "{answer:?}");
    let listed = gateway.within(&session, Some(key), &crate::gateway::request("tools/list", json!({})));
    assert_eq!(listed.last()["result"]["tools"], json!([]), "{listed:?}");
    assert!(gateway.log("one").is_empty());
}

#[test]
fn two_callers_share_no_server_process_and_each_record_names_its_own() {
    let gateway = Gateway::start(&[("one", "modern")], KEYS);
    let (_, ada) = gateway.key("ada", "acme");
    let (_, bob) = gateway.key("bob", "other");
    for key in [&ada, &bob] {
        let params = json!({ "name": "echo", "arguments": { "text": "x" } });
        assert_eq!(gateway.modern(Some(key), "tools/call", params).text(), "x");
    }
    let (folder, ended) = gateway.stop();
    assert!(ended);
    let records = refmon(folder.path(), &["--json", "audit", "verify"]).output().unwrap();
    assert!(records.status.success(), "{}", String::from_utf8_lossy(&records.stdout));
}

#[test]
fn a_session_is_not_for_the_same_person_with_other_scopes() {
    let gateway = Gateway::start(&[("one", "legacy")], KEYS);
    let (_, broad) = gateway.key("ada", "acme");
    let made = gateway.command(&["key", "add", "--user", "ada", "--tenant", "acme", "--scope", "two:use"]);
    let narrow = made["key"].as_str().unwrap();
    let session = gateway.begin(Some(&broad));
    let answer = gateway.within(&session, Some(narrow), &call("echo", json!({ "text": "x" })));
    assert_eq!(answer.status, 404, "{answer:?}");
    let params = || json!({ "name": "echo", "arguments": { "text": "x" } });
    assert_eq!(gateway.modern(Some(&broad), "tools/call", params()).text(), "x");
    let answer = gateway.modern(Some(narrow), "tools/call", params());
    assert_eq!(answer.last()["result"]["_meta"]["refmon.dev/verdict"]["reason"], "scope.missing", "{answer:?}");
}
