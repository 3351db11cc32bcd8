//! Clients that ask for progress are kept waiting while a person decides.

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};

use crate::gateway::{Gateway, Stream, call};
use crate::holds::{ALL, USE, ask, decide, held, key, site_of};

/// Calls a held tool and gives the stream, after the word that it waits, with the hold.
fn waiting(gateway: &Gateway, session: Option<&str>, key: &str, text: &str) -> (Stream, String) {
    let params = json!({ "name": "echo", "arguments": { "text": text }, "_meta": { "progressToken": "mine" } });
    let bearer = format!("Bearer {key}");
    let mut stream = match session {
        None => gateway.modern_stream(Some(key), "tools/call", params),
        Some(session) => {
            let mut body: Value = serde_json::from_str(&call("echo", json!({ "text": text }))).unwrap();
            body["params"] = params;
            let headers = [("mcp-session-id", session), ("authorization", bearer.as_str())];
            gateway.stream("POST", &headers, &body.to_string())
        }
    };
    let word = stream.next().unwrap();
    assert_eq!(word["method"], "notifications/progress");
    assert_eq!(word["params"]["progressToken"], "mine", "the client's own token: {word}");
    let message = word["params"]["message"].as_str().unwrap();
    let hold = message.rsplit(' ').next().unwrap().to_owned();
    (stream, hold)
}

fn runs(gateway: &Gateway) -> usize {
    gateway.log("one").iter().filter(|line| line[0] == "echo").count()
}

#[test]
fn a_client_that_listens_gets_its_answer_when_a_person_has_decided() {
    for server in ["modern", "legacy"] {
        let gateway = Gateway::over(site_of(server, "", ""));
        let (ada, boss) = (key(&gateway, "ada", "local", USE), key(&gateway, "boss", "local", ALL));
        let session = gateway.begin(Some(&ada));
        for (session, text) in [(None, "newer"), (Some(session.as_str()), "older")] {
            let before = runs(&gateway);
            let (mut stream, hold) = waiting(&gateway, session, &ada, text);
            assert_eq!(runs(&gateway), before, "nothing runs while it waits");
            assert_eq!(decide(&gateway, &boss, &hold, "approve").0, 200);
            let answer = stream.find(|message| message["id"] == 7).unwrap();
            assert!(answer["result"]["isError"].is_null(), "{server} {text}: {answer}");
            assert!(answer["result"].to_string().contains(text), "{server}: {answer}");
            assert_eq!(runs(&gateway), before + 1, "it ran once");
            assert!(ask(&gateway, &ada, text)["hold"].is_string(), "and the approval is used up");
        }
    }
}

#[test]
fn who_waits_learns_of_a_denial_and_of_the_end_of_its_patience() {
    let gateway = Gateway::over(site_of("modern", "", "\n[holds]\nwait_seconds = 3\n"));
    let (ada, boss) = (key(&gateway, "ada", "local", USE), key(&gateway, "boss", "local", ALL));
    let (stream, hold) = waiting(&gateway, None, &ada, "no");
    assert_eq!(decide(&gateway, &boss, &hold, "deny").0, 200);
    let verdict = stream.last().unwrap()["result"]["_meta"]["refmon.dev/verdict"].clone();
    assert_eq!((&verdict["decision"], &verdict["reason"]), (&json!("deny"), &json!("approval.denied")));
    let (stream, hold) = waiting(&gateway, None, &ada, "late");
    let verdict = stream.last().unwrap()["result"]["_meta"]["refmon.dev/verdict"].clone();
    assert_eq!(
        (&verdict["decision"], &verdict["hold"]),
        (&json!("hold"), &json!(hold)),
        "it still waits, and is named"
    );
    assert_eq!(decide(&gateway, &boss, &hold, "approve").0, 200);
    assert!(ask(&gateway, &ada, "late").is_null(), "so that the identical call runs later");
    assert_eq!(runs(&gateway), 1);
}

#[test]
fn a_call_whose_client_has_gone_does_not_run_behind_its_back() {
    let gateway = Gateway::over(site_of("legacy", "", ""));
    let (ada, boss) = (key(&gateway, "ada", "local", USE), key(&gateway, "boss", "local", ALL));
    let session = gateway.begin(Some(&ada));
    for (session, text) in [(None, "newer"), (Some(session.as_str()), "older")] {
        let before = runs(&gateway);
        let (stream, hold) = waiting(&gateway, session, &ada, text);
        drop(stream);
        std::thread::sleep(Duration::from_millis(500));
        assert_eq!(decide(&gateway, &boss, &hold, "approve").0, 200);
        std::thread::sleep(Duration::from_secs(3));
        assert_eq!(runs(&gateway), before, "{text}: nobody is there to see what comes of it");
        assert!(ask(&gateway, &ada, text).is_null(), "{text}: the approval is there for the next time");
        assert_eq!(runs(&gateway), before + 1);
    }
}

#[test]
fn of_one_who_waits_and_one_who_asks_again_one_runs() {
    let gateway = Gateway::over(site_of("modern", "", ""));
    let (ada, boss) = (key(&gateway, "ada", "local", USE), key(&gateway, "boss", "local", ALL));
    for round in 0..3 {
        let text = format!("race {round}");
        let (streams, holds): (Vec<_>, Vec<_>) = (0..4).map(|_| waiting(&gateway, None, &ada, &text)).unzip();
        assert!(holds.iter().all(|hold| *hold == holds[0]), "it is one hold: {holds:?}");
        assert_eq!(held(&gateway, &ada, &text), holds[0]);
        assert_eq!(decide(&gateway, &boss, &holds[0], "approve").0, 200);
        let verdicts: Vec<Value> = streams
            .into_iter()
            .map(|stream| stream.last().unwrap()["result"]["_meta"]["refmon.dev/verdict"].clone())
            .collect();
        assert_eq!(verdicts.iter().filter(|verdict| verdict.is_null()).count(), 1, "{verdicts:?}");
        let void = |verdict: &&Value| verdict["reason"] == "approval.void";
        assert_eq!(verdicts.iter().filter(void).count(), 3, "{verdicts:?}");
        assert_eq!(runs(&gateway), round + 1);
    }
}

#[test]
fn a_configuration_can_have_nobody_wait() {
    let gateway = Gateway::over(site_of("modern", "", "\n[holds]\nwait_seconds = 0\n"));
    let ada = key(&gateway, "ada", "local", USE);
    let params = json!({ "name": "echo", "arguments": { "text": "x" }, "_meta": { "progressToken": 1 } });
    let answer = gateway.modern(Some(&ada), "tools/call", params);
    assert_eq!(answer.messages().len(), 1, "{answer:?}");
    assert_eq!(answer.last()["result"]["_meta"]["refmon.dev/verdict"]["decision"], "hold");
    assert!(fs::read_to_string(gateway.folder().join("refmon.toml")).unwrap().contains("wait_seconds"));
}
