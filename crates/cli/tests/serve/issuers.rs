//! Several issuers, and the roles that tokens and keys bring.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use refmon_core::ports::Clock as _;
use refmon_gateway::system::System;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::{Value, json};

use crate::gateway::{Gateway, folder, refmon};

const AUDIENCE: &str = "https://gate.example/mcp";

/// An issuer: its name and its key.
struct Issuer {
    name: String,
    key: Arc<EcdsaKeyPair>,
}

impl Issuer {
    fn token(&self, claims: &Value) -> String {
        let now = System::new().now().unix_us / 1_000_000;
        let mut all = json!({ "iss": self.name, "aud": AUDIENCE, "exp": now + 600, "sub": "ada", "azp": "ide" });
        all.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
        let header = json!({ "alg": "ES256", "kid": "k", "typ": "at+jwt" });
        let signed =
            format!("{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), URL_SAFE_NO_PAD.encode(all.to_string()));
        let signature = self.key.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    fn keys(&self) -> String {
        let point = self.key.public_key().as_ref();
        let (x, y) = (URL_SAFE_NO_PAD.encode(&point[1..33]), URL_SAFE_NO_PAD.encode(&point[33..]));
        json!({ "keys": [{ "kty": "EC", "crv": "P-256", "use": "sig", "kid": "k", "x": x, "y": y }] }).to_string()
    }
}

/// Two issuers on one host, whose documents are served until the test ends.
fn issuers() -> [Issuer; 2] {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let issuer = |path: &str| {
        let (algorithm, random) = (&ECDSA_P256_SHA256_FIXED_SIGNING, SystemRandom::new());
        let document = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        let key = EcdsaKeyPair::from_pkcs8(algorithm, document.as_ref(), &random).unwrap();
        Issuer { name: format!("http://127.0.0.1:{port}/{path}"), key: Arc::new(key) }
    };
    let both = [issuer("a"), issuer("b")];
    let pages: Vec<(String, String)> = both
        .iter()
        .zip(["a", "b"])
        .flat_map(|(issuer, path)| {
            let keys = format!("{}/keys", issuer.name);
            let metadata = json!({ "issuer": issuer.name, "jwks_uri": keys }).to_string();
            [(format!("/{path}/.well-known/openid-configuration"), metadata), (format!("/{path}/keys"), issuer.keys())]
        })
        .collect();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
            let path = lines.next().and_then(|line| Some(line.split(' ').nth(1)?.to_owned())).unwrap_or_default();
            lines.take_while(|line| !line.is_empty()).for_each(drop);
            let page = pages.iter().find(|(at, _)| *at == path).map(|(_, page)| page.as_str());
            let (status, page) = page.map_or(("404 Not Found", ""), |page| ("200 OK", page));
            let head = format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\nconnection: close\r\n");
            let _gone = write!(stream, "{head}content-length: {}\r\n\r\n{page}", page.len()).is_err();
        }
    });
    both
}

fn config([a, b]: &[Issuer; 2]) -> String {
    format!(
        "[listen]\nhttp = \"127.0.0.1:0\"\n[roles]\nuser = [\"one:use\"]\n\
         [identity]\nkind = \"oidc\"\ntenant = \"acme\"\naudience = \"{AUDIENCE}\"\n\
         [[identity.issuer]]\nurl = \"{}\"\ntenant = \"acme\"\nrole_claim = \"roles\"\n\
         [[identity.issuer]]\nurl = \"{}\"\ntenant_claim = \"org\"\ntenants = [\"beta\", \"gamma\"]\n",
        a.name, b.name
    )
}

fn reason(gateway: &Gateway, token: &str) -> (u16, String) {
    let params = json!({ "name": "echo", "arguments": { "text": "x" } });
    let answer = gateway.modern(Some(token), "tools/call", params);
    let verdict = answer.last()["result"]["_meta"]["refmon.dev/verdict"]["reason"].as_str().map(str::to_owned);
    (answer.status, verdict.unwrap_or_else(|| answer.text()))
}

#[test]
fn of_two_issuers_each_speaks_for_its_own_tenants_only() {
    let issuers = issuers();
    let gateway = Gateway::start(&[("one", "modern")], &config(&issuers));
    let [a, b] = &issuers;
    let scope = |claims: Value| {
        let mut claims = claims;
        claims["scope"] = json!("one:use");
        claims
    };
    assert_eq!(reason(&gateway, &a.token(&scope(json!({})))), (200, "x".to_owned()));
    assert_eq!(reason(&gateway, &b.token(&scope(json!({ "org": "beta" })))), (200, "x".to_owned()));
    assert_eq!(gateway.log("one").len(), 2);
    // B for a tenant of A, for one that nobody has, and for none; B's key under A's name; A's claim changes nothing.
    let mixed = Issuer { name: a.name.clone(), key: Arc::clone(&b.key) };
    for token in [
        b.token(&scope(json!({ "org": "acme" }))),
        b.token(&scope(json!({ "org": "delta" }))),
        b.token(&scope(json!({}))),
        mixed.token(&scope(json!({}))),
        mixed.token(&scope(json!({ "org": "beta" }))),
    ] {
        assert_eq!(reason(&gateway, &token).0, 401);
    }
    assert_eq!(reason(&gateway, &a.token(&scope(json!({ "org": "beta" })))), (200, "x".to_owned()));
    assert_eq!(gateway.log("one").len(), 3, "nothing that was refused has run");
    let out = refmon(gateway.folder(), &["--json", "audit", "tail"]).output().unwrap();
    let text = String::from_utf8(out.stdout).unwrap();
    let records = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let tenants: Vec<Value> =
        records.filter(|record| record["kind"] == "attempt").map(|record| record["tenant"].clone()).collect();
    assert_eq!(tenants, ["acme", "acme"], "of the configuration's own tenant");
}

#[test]
fn issuers_that_could_speak_for_each_others_tenants_stop_the_start() {
    let base = "[identity]\nkind = \"oidc\"\naudience = \"https://gate.example/mcp\"\n";
    let issuer = |url: &str, lines: &str| format!("[[identity.issuer]]\nurl = \"{url}\"\n{lines}\n");
    let a = issuer("https://a.example", "tenant = \"acme\"");
    for (tables, says) in [
        (issuer("https://b.example", "tenant = \"acme\""), "acme"),
        (issuer("https://b.example", "tenant_claim = \"org\""), "must list the tenants"),
        (issuer("https://a.example", "tenant = \"beta\""), "configured twice"),
        (issuer("http://b.example", "tenant = \"beta\""), "https"),
    ] {
        let folder = folder(&[("one", "legacy")], &format!("{base}{a}{tables}"));
        let out = refmon(folder.path(), &["serve"]).output().unwrap();
        let text = String::from_utf8_lossy(&out.stderr).into_owned();
        assert_eq!(out.status.code(), Some(2), "{tables}: {text}");
        assert!(text.contains(says), "{tables}: {text}");
    }
}

#[test]
fn a_role_grants_its_scopes_to_tokens_and_keys_and_an_unknown_one_nothing() {
    let issuers = issuers();
    let gateway = Gateway::start(&[("one", "modern")], &config(&issuers));
    let [a, b] = &issuers;
    assert_eq!(reason(&gateway, &a.token(&json!({ "roles": ["user"] }))), (200, "x".to_owned()));
    for token in [
        a.token(&json!({ "roles": ["users", "one:use", "admin"] })),
        a.token(&json!({ "groups": ["user"] })),
        b.token(&json!({ "org": "beta", "roles": ["user"] })),
    ] {
        assert_eq!(reason(&gateway, &token), (200, "scope.missing".to_owned()));
    }
    assert_eq!(reason(&gateway, &a.token(&json!({ "roles": { "user": true } }))).0, 401);
    let key = |role: &str| gateway.command(&["key", "add", "--user", "eve", "--role", role]);
    let made = key("user");
    assert_eq!(reason(&gateway, made["key"].as_str().unwrap()), (200, "x".to_owned()));
    assert_eq!(gateway.command(&["key", "list"])[0]["roles"], json!(["user"]));
    let out = refmon(gateway.folder(), &["key", "add", "--user", "eve", "--role", "usr"]).output().unwrap();
    let text = String::from_utf8_lossy(&out.stderr).into_owned();
    assert_eq!(out.status.code(), Some(2), "{text}");
    assert!(text.contains("did you mean `user`?"), "{text}");
    assert_eq!(gateway.log("one").len(), 2);
}
