//! Somebody outside is told of calls that wait, by a real receiver over a real socket.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::gateway::Gateway;
use crate::holds::{ALL, USE, ask, decide, held, key, site_of};

const SECRET: &str = "canary canary canary canary";

/// One request: its headers, and its body.
fn request(stream: &mut TcpStream) -> (Vec<(String, String)>, String) {
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let mut reader = BufReader::new(stream);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        match line.trim().split_once(':') {
            Some((name, value)) => lines.push((name.to_ascii_lowercase(), value.trim().to_owned())),
            None if line.trim().is_empty() => break,
            None => assert_eq!(line.trim(), "POST /told HTTP/1.1"),
        }
    }
    let length = lines.iter().find(|(name, _)| name == "content-length").unwrap().1.parse().unwrap();
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    (lines, String::from_utf8(body).unwrap())
}

/// Takes the next request and answers it with a status.
fn answered(receiver: &TcpListener, status: &str) -> (Vec<(String, String)>, String) {
    let (mut stream, _) = receiver.accept().unwrap();
    let found = request(&mut stream);
    stream
        .write_all(format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").as_bytes())
        .unwrap();
    found
}

fn header<'a>(headers: &'a [(String, String)], name: &str) -> &'a str {
    &headers.iter().find(|(found, _)| found == name).unwrap_or_else(|| panic!("{name}: {headers:?}")).1
}

fn told(receiver: &TcpListener) -> Gateway {
    let url = format!("http://{}/told", receiver.local_addr().unwrap());
    let more = format!(
        "\n[holds.webhook]\nurl = \"{url}\"\nsecret = \"env://HOOK_SECRET\"\nconsole = \"https://refmon.example\"\n"
    );
    Gateway::with(site_of("modern", "", &more), &[], &[("HOOK_SECRET", Path::new(SECRET))])
}

#[test]
fn somebody_is_told_who_asks_for_what_signed_and_without_arguments() {
    let receiver = TcpListener::bind("127.0.0.1:0").unwrap();
    let gateway = told(&receiver);
    let ada = key(&gateway, "ada", "local", USE);
    let hold = held(&gateway, &ada, "the canary argument");
    let (headers, body) = answered(&receiver, "200 OK");
    let message: Value = serde_json::from_str(&body).unwrap();
    let payload = &message["metadata"]["event_payload"];
    assert_eq!((payload["hold"].as_str(), payload["user"].as_str()), (Some(hold.as_str()), Some("ada")));
    assert_eq!(payload["next"], format!("https://refmon.example/holds/{hold}"));
    assert!(!body.contains("canary"), "no argument, and no secret: {body}");
    let (id, time) = (header(&headers, "webhook-id"), header(&headers, "webhook-timestamp"));
    assert_eq!(id, hold);
    let signed = ring::hmac::sign(
        &ring::hmac::Key::new(ring::hmac::HMAC_SHA256, SECRET.as_bytes()),
        format!("{id}.{time}.{body}").as_bytes(),
    );
    assert_eq!(header(&headers, "webhook-signature"), format!("v1,{}", STANDARD.encode(signed)));
    assert!(headers.iter().all(|(name, _)| name != "authorization"));
    // It is told once.
    receiver.set_nonblocking(true).unwrap();
    std::thread::sleep(Duration::from_secs(4));
    assert!(receiver.accept().is_err());
}

#[test]
fn a_receiver_that_fails_or_hangs_is_tried_again_and_holds_nobody_up() {
    let receiver = TcpListener::bind("127.0.0.1:0").unwrap();
    let gateway = told(&receiver);
    let (ada, boss) = (key(&gateway, "ada", "local", USE), key(&gateway, "boss", "local", ALL));
    let hold = held(&gateway, &ada, "x");
    let (first, _) = answered(&receiver, "500 No");
    // It hangs: the gateway goes on, and the hold can be decided on.
    let (_hanging, _) = receiver.accept().unwrap();
    let other = held(&gateway, &ada, "y");
    assert_eq!(decide(&gateway, &boss, &other, "approve").0, 200);
    assert!(ask(&gateway, &ada, "y").is_null());
    let (again, _) = answered(&receiver, "204 Fine");
    assert_eq!((header(&first, "webhook-id"), header(&again, "webhook-id")), (hold.as_str(), hold.as_str()));
}

#[test]
fn what_was_not_told_before_a_kill_is_told_after_it() {
    let receiver = TcpListener::bind("127.0.0.1:0").unwrap();
    let gateway = told(&receiver);
    let ada = key(&gateway, "ada", "local", USE);
    let hold = held(&gateway, &ada, "x");
    answered(&receiver, "503 Later");
    gateway.kill();
    let (folder, _) = gateway.ended();
    let gateway = Gateway::with(folder, &[], &[("HOOK_SECRET", Path::new(SECRET))]);
    assert_eq!(header(&answered(&receiver, "200 OK").0, "webhook-id"), hold);
    drop(gateway);
}

#[test]
fn a_webhook_whose_secret_is_written_down_stops_the_start() {
    for (lines, says) in [
        ("url = \"https://h.example/\"\nsecret = \"0123456789abcdef0123456789abcdef\"", "looks like a secret"),
        ("url = \"https://hooks.slack.com/services/T0/B0/x\"", "has a secret in it"),
        ("url = \"http://h.example/\"", "private = true"),
        ("url = \"https://h.example/\"\nsecret = \"env://NOT_SET_ANYWHERE\"", "not set"),
        ("url = \"https://h.example/\"\nformat = \"x\"", "unknown field"),
    ] {
        let folder = site_of("modern", "", &format!("\n[holds.webhook]\n{lines}\n"));
        let said = crate::gateway::refmon(folder.path(), &["serve"]).output().unwrap();
        let text = String::from_utf8_lossy(&said.stderr).into_owned();
        assert!(!said.status.success() && text.contains(says) && !text.contains("0123456789abcdef"), "{lines}: {text}");
        assert!(fs::read_dir(folder.path()).unwrap().count() > 0);
    }
}
