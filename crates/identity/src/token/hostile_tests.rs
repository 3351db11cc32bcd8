//! Hostile tokens, one row each, and the tokens that must be accepted.

use std::sync::Arc;

use hmac::{Hmac, KeyInit as _, Mac as _};
use refmon_core::caller::IdentityKind;
use ring::signature::RSA_PSS_SHA256;
use serde_json::{Value, json};
use sha2::Sha256;

use crate::Authenticator;
use crate::fetch::Fetch;
use crate::refused::Why;
use crate::testing_tests::{
    A, B, NOW, RESOURCE, Signer, Web, at, base64, claims, configured, door, present, rsa_components, rsa_signature,
    run, with,
};
use crate::token::{AgentFrom, Algorithm, ScopesFrom, TenantFrom, Verifier};

/// A door, the key of its issuer, and a second key of the same.
fn setup() -> (Authenticator, Signer) {
    let (web, signer) = (Arc::new(Web::default()), Signer::p256());
    web.issuer(A, &[signer.jwk("k1"), Signer::p256().jwk("k2")]);
    (door(&web), signer)
}

/// Each row: its name, the token, and a part of the operator's reason.
fn refuse(door: &Authenticator, rows: Vec<(&str, String, &str)>) {
    for (name, token, reason) in rows {
        let why = present(door, &token, NOW).expect_err(name).to_string();
        assert!(why.contains(reason), "{name}: {why}");
        assert!(token.len() < 20 || !why.contains(&token), "{name}: the reason repeats the token");
    }
}

#[test]
fn a_token_that_is_in_order_gives_the_whole_caller() {
    let (door, signer) = setup();
    let caller = present(&door, &signer.token("k1", &claims(A)), NOW).unwrap();
    assert_eq!(caller.kind(), IdentityKind::Token);
    assert_eq!((caller.tenant().as_str(), caller.user().as_str(), caller.agent().as_str()), ("acme", "ada", "ide"));
    let scopes: Vec<&str> = caller.scopes().iter().map(|scope| scope.as_str()).collect();
    assert_eq!(scopes, ["mail:read", "mail:send"]);
}

#[test]
fn every_spelling_of_an_access_token_is_accepted() {
    let (door, signer) = setup();
    let text = claims(A).to_string();
    for typ in ["", r#","typ":"JWT""#, r#","typ":"jwt""#, r#","typ":"at+jwt""#, r#","typ":"application/AT+JWT""#] {
        let token = signer.raw(&format!(r#"{{"alg":"ES256","kid":"k1"{typ}}}"#), &text);
        assert!(present(&door, &token, NOW).is_ok(), "{typ}");
    }
    let audiences = json!(["https://other.example", RESOURCE]);
    assert!(present(&door, &signer.token("k1", &with(claims(A), "aud", audiences)), NOW).is_ok());
    assert!(present(&door, &signer.token("k1", &with(claims(A), "nonce", json!("n"))), NOW).is_ok(), "declared at+jwt");
}

#[test]
fn user_and_agent_are_both_kept() {
    let (door, signer) = setup();
    let names = |claims: Value| {
        let caller = present(&door, &signer.token("k1", &claims), NOW).unwrap();
        (caller.user().to_string(), caller.agent().to_string())
    };
    let pair = |user: &str, agent: &str| (user.to_owned(), agent.to_owned());
    assert_eq!(names(with(claims(A), "act", json!({ "sub": "bot", "act": { "sub": "old" } }))), pair("ada", "bot"));
    let plain = with(claims(A), "azp", Value::Null);
    assert_eq!(names(with(plain.clone(), "client_id", json!("cli"))), pair("ada", "cli"));
    // Client credentials (RFC 9068, section 2.2): the client is the subject.
    assert_eq!(names(with(with(plain, "sub", json!("svc")), "client_id", json!("svc"))), pair("svc", "svc"));
}

#[test]
fn scopes_come_from_a_text_or_a_list() {
    let (door, signer) = setup();
    let count = |claims: Value| {
        present(&door, &signer.token("k1", &claims), NOW)
            .map(|caller| caller.scopes().len())
            .map_err(|why| why.to_string())
    };
    let none = with(claims(A), "scope", Value::Null);
    assert_eq!(count(none.clone()), Ok(0));
    assert_eq!(count(with(claims(A), "scope", json!(""))), Ok(0));
    assert_eq!(count(with(none.clone(), "scp", json!(["a", "b", "a"]))), Ok(2));
    assert_eq!(count(with(none.clone(), "scp", json!("a b c"))), Ok(3));
    for wrong in
        [json!("a  b"), json!(" a"), json!(["a", 1]), json!({ "a": 1 }), json!(1), json!(["a b"]), json!(["\""])]
    {
        let refused = count(with(none.clone(), "scope", wrong.clone()));
        assert!(refused.is_err_and(|why| why.contains("`scope`")), "{wrong}");
    }
    let many: Vec<String> = (0..257).map(|number| number.to_string()).collect();
    assert!(count(with(none, "scp", json!(many))).is_err());
}

#[test]
fn a_hostile_header_is_refused() {
    let (door, signer) = setup();
    let text = claims(A).to_string();
    let made = |header: &str| signer.raw(header, &text);
    let unsigned = |alg: &str| format!("{}.{}.", base64(format!(r#"{{"alg":"{alg}","kid":"k1"}}"#)), base64(&text));
    let mut rows = vec![
        ("alg none", unsigned("none"), "algorithm"),
        ("alg None", unsigned("None"), "algorithm"),
        ("alg nOnE", unsigned("nOnE"), "algorithm"),
        ("alg NONE, signed", made(r#"{"alg":"NONE","kid":"k1"}"#), "algorithm"),
        ("alg with a space", made(r#"{"alg":"ES256 ","kid":"k1"}"#), "algorithm"),
        ("alg in lower case", made(r#"{"alg":"es256","kid":"k1"}"#), "algorithm"),
        ("alg of another key type", made(r#"{"alg":"RS256","kid":"k1"}"#), "no single key"),
        ("alg of another curve", made(r#"{"alg":"EdDSA","kid":"k1"}"#), "no single key"),
        ("alg absent", made(r#"{"kid":"k1"}"#), "`alg`"),
        ("alg null", made(r#"{"alg":null,"kid":"k1"}"#), "`alg`"),
        ("alg a list", made(r#"{"alg":["ES256"],"kid":"k1"}"#), "`alg`"),
        ("alg twice", made(r#"{"alg":"none","alg":"ES256","kid":"k1"}"#), "single reading"),
        ("alg twice, in two cases", made(r#"{"ALG":"none","alg":"ES256","kid":"k1"}"#), "single reading"),
        ("alg twice, one escaped", made(r#"{"\u0061lg":"none","alg":"ES256","kid":"k1"}"#), "single reading"),
        ("kid a path", made(r#"{"alg":"ES256","kid":"../../dev/null"}"#), "no single key"),
        ("kid SQL", made(r#"{"alg":"ES256","kid":"' OR 1=1 --"}"#), "no single key"),
        ("kid of another key", made(r#"{"alg":"ES256","kid":"k2"}"#), "signature"),
        ("kid empty", made(r#"{"alg":"ES256","kid":""}"#), "`kid`"),
        ("kid null", made(r#"{"alg":"ES256","kid":null}"#), "`kid`"),
        ("kid a list", made(r#"{"alg":"ES256","kid":["k1"]}"#), "`kid`"),
        ("kid twice", made(r#"{"alg":"ES256","kid":"k1","kid":"k2"}"#), "single reading"),
        ("kid absent, with two keys", made(r#"{"alg":"ES256"}"#), "no single key"),
        ("kid long", made(&format!(r#"{{"alg":"ES256","kid":"{}"}}"#, "k".repeat(257))), "`kid`"),
        ("typ of a DPoP proof", made(r#"{"alg":"ES256","kid":"k1","typ":"dpop+jwt"}"#), "`typ`"),
        ("typ of a logout token", made(r#"{"alg":"ES256","kid":"k1","typ":"logout+jwt"}"#), "`typ`"),
        ("typ empty", made(r#"{"alg":"ES256","kid":"k1","typ":""}"#), "`typ`"),
        ("typ null", made(r#"{"alg":"ES256","kid":"k1","typ":null}"#), "`typ`"),
        ("header a list", made(r#"["ES256"]"#), "compact"),
        ("header with text after it", made(r#"{"alg":"ES256","kid":"k1"} x"#), "single reading"),
        ("header with a byte order mark", made("\u{feff}{\"alg\":\"ES256\",\"kid\":\"k1\"}"), "single reading"),
        ("header empty", made(""), "single reading"),
    ];
    for member in ["crit", "jku", "x5u", "x5c", "b64", "zip", "enc"] {
        let header = json!({ "alg": "ES256", "kid": "k1", member: ["exp"] }).to_string();
        rows.push((member, made(&header), member));
    }
    // The classic: a key of the attacker's own, in the header.
    let own = Signer::p256();
    let header = json!({ "alg": "ES256", "kid": "k1", "jwk": own.jwk("k1") }).to_string();
    rows.push(("an embedded key", own.raw(&header, &text), "`jwk`"));
    rows.push(("signed with a stranger's key", own.token("k1", &claims(A)), "signature"));
    refuse(&door, rows);
}

#[test]
fn a_public_key_is_never_a_shared_secret() {
    for signer in [Signer::p256(), Signer::ed25519(), Signer::rsa()] {
        let web = Arc::new(Web::default());
        web.issuer(A, &[signer.jwk("k1")]);
        let door = door(&web);
        assert!(present(&door, &signer.token("k1", &claims(A)), NOW).is_ok());
        let secrets = [signer.public(), signer.jwk("k1").to_string().into_bytes(), Vec::new()];
        for algorithm in ["HS256", "HS384", "HS512", signer.algorithm()] {
            for secret in &secrets {
                let header = json!({ "alg": algorithm, "kid": "k1" }).to_string();
                let signed = format!("{}.{}", base64(header), base64(claims(A).to_string()));
                let mut mac = Hmac::<Sha256>::new_from_slice(secret).unwrap();
                mac.update(signed.as_bytes());
                let token = format!("{signed}.{}", base64(mac.finalize().into_bytes()));
                let expected = if algorithm.starts_with("HS") { "algorithm" } else { "signature" };
                refuse(&door, vec![(algorithm, token, expected)]);
            }
        }
    }
}

#[test]
fn rsa_keys_verify_with_the_padding_that_is_named_and_only_if_they_are_long() {
    let signer = Signer::rsa();
    let Signer::Rsa(pair) = &signer else { unreachable!() };
    let web = Arc::new(Web::default());
    web.issuer(A, &[signer.jwk("k1")]);
    let accepting = door(&web);
    let token = |algorithm: &str, padding| {
        let header = json!({ "alg": algorithm, "kid": "k1" }).to_string();
        let signed = format!("{}.{}", base64(header), base64(claims(A).to_string()));
        format!("{signed}.{}", base64(rsa_signature(pair, padding, &signed)))
    };
    assert!(present(&accepting, &token("PS256", &RSA_PSS_SHA256), NOW).is_ok());
    let mixed = token("RS256", &RSA_PSS_SHA256);
    refuse(&accepting, vec![("PSS called PKCS 1", mixed, "signature")]);
    let restricted = with(signer.jwk("k1"), "alg", json!("PS256"));
    web.issuer(A, &[restricted]);
    refuse(&door(&web), vec![("RS256 with a key for PS256", signer.token("k1", &claims(A)), "no single key")]);
    // A modulus of 2,047 bits: the top bit of the first byte is not set.
    let mut short = rsa_components(pair).n;
    short[0] &= 0x7f;
    web.issuer(A, &[with(signer.jwk("k1"), "n", json!(base64(short)))]);
    refuse(&door(&web), vec![("a short key", signer.token("k1", &claims(A)), "no single key")]);
}

/// A token with ordinary claims, a part of whose text is replaced.
fn respelled(signer: &Signer, from: &str, to: &str) -> String {
    let text = claims(A).to_string();
    assert!(text.contains(from), "{from}");
    signer.raw(r#"{"alg":"ES256","kid":"k1"}"#, &text.replace(from, to))
}

#[test]
fn a_claim_that_is_not_for_us_now_is_refused() {
    let (door, signer) = setup();
    let changed = |name: &str, value: Value| signer.token("k1", &with(claims(A), name, value));
    let spelled = |from: &str, to: &str| respelled(&signer, from, to);
    let exp = format!("\"exp\":{}", NOW + 600);
    refuse(
        &door,
        vec![
            ("exp absent", changed("exp", Value::Null), "`exp`"),
            ("exp a text", changed("exp", json!("1900000000")), "`exp`"),
            ("exp a fraction", changed("exp", json!(1_900_000_000.5)), "`exp`"),
            ("exp with an exponent", spelled(&exp, r#""exp":19e8"#), "`exp`"),
            ("exp beyond a double", spelled(&exp, r#""exp":1e999"#), "`exp`"),
            ("exp beyond the calendar", spelled(&exp, r#""exp":253402300800"#), "`exp`"),
            ("exp beyond 64 bits", spelled(&exp, r#""exp":99999999999999999999999"#), "`exp`"),
            ("exp negative", changed("exp", json!(-1)), "`exp`"),
            ("exp NaN", spelled(&exp, r#""exp":NaN"#), "single reading"),
            ("exp null", spelled(&exp, r#""exp":null"#), "`exp`"),
            ("exp true", changed("exp", json!(true)), "`exp`"),
            ("exp past", changed("exp", json!(NOW - 30)), "expired"),
            ("exp twice", spelled(&exp, &format!("{exp},\"exp\":1")), "single reading"),
            ("nbf to come", changed("nbf", json!(NOW + 31)), "not valid yet"),
            ("nbf a text", changed("nbf", json!("0")), "`nbf`"),
            ("iat to come", changed("iat", json!(NOW + 31)), "not valid yet"),
            ("iat a list", changed("iat", json!([1])), "`iat`"),
            ("aud absent", changed("aud", Value::Null), "`aud`"),
            ("aud empty", changed("aud", json!("")), "`aud`"),
            ("aud another", changed("aud", json!("https://other.example")), "`aud`"),
            ("aud with a slash more", changed("aud", json!(format!("{RESOURCE}/"))), "`aud`"),
            ("aud that begins like ours", changed("aud", json!("https://refmon.example/mcp.evil")), "`aud`"),
            ("aud an empty list", changed("aud", json!([])), "`aud`"),
            ("aud a list of others", changed("aud", json!(["a", "b"])), "`aud`"),
            ("aud a list with a number", changed("aud", json!([RESOURCE, 1])), "`aud`"),
            ("aud a list in a list", changed("aud", json!([[RESOURCE]])), "`aud`"),
            ("aud an object", changed("aud", json!({ RESOURCE: true })), "`aud`"),
            ("iss absent", changed("iss", Value::Null), "`iss`"),
            ("iss with a slash more", changed("iss", json!(format!("{A}/"))), "issuer is not configured"),
            ("iss in upper case", changed("iss", json!("HTTPS://A.EXAMPLE")), "issuer is not configured"),
            ("iss a list", changed("iss", json!([A])), "`iss`"),
            ("iss twice", spelled(r#""iss":"#, r#""iss":"https://b.example","iss":"#), "single reading"),
        ],
    );
}

#[test]
fn a_claim_that_names_nobody_or_two_is_refused() {
    let (door, signer) = setup();
    let changed = |name: &str, value: Value| signer.token("k1", &with(claims(A), name, value));
    let spelled = |from: &str, to: &str| respelled(&signer, from, to);
    let tenant = r#""tenant":"acme""#;
    refuse(
        &door,
        vec![
            ("tenant absent", changed("tenant", Value::Null), "`tenant`"),
            ("tenant twice", spelled(tenant, r#""tenant":"acme","tenant":"evil""#), "single reading"),
            ("tenant and Tenant", spelled(tenant, r#""tenant":"acme","Tenant":"evil""#), "single reading"),
            ("only Tenant", spelled(tenant, r#""Tenant":"acme""#), "`tenant`"),
            ("tenant a list", changed("tenant", json!(["acme"])), "`tenant`"),
            ("tenant empty", changed("tenant", json!("")), "`tenant`"),
            ("tenant with a slash", changed("tenant", json!("acme/evil")), "`tenant`"),
            ("tenant a parent folder", changed("tenant", json!("..")), "`tenant`"),
            ("tenant with a NUL", changed("tenant", json!("acme\u{0}")), "`tenant`"),
            ("tenant with a space", changed("tenant", json!("acme ")), "`tenant`"),
            ("tenant beyond ASCII", changed("tenant", json!("аcme")), "`tenant`"),
            ("sub absent", changed("sub", Value::Null), "`sub`"),
            ("sub empty", changed("sub", json!("")), "`sub`"),
            ("sub a number", changed("sub", json!(7)), "`sub`"),
            ("sub twice", spelled(r#""sub":"ada""#, r#""sub":"ada","sub":"root""#), "single reading"),
            ("sub long", changed("sub", json!("a".repeat(257))), "`sub`"),
            ("no agent", changed("azp", Value::Null), "`client_id`"),
            ("azp empty", changed("azp", json!("")), "`azp`"),
            (
                "azp a number, client_id in order",
                { signer.token("k1", &with(with(claims(A), "azp", json!(1)), "client_id", json!("cli"))) },
                "`azp`",
            ),
            ("act without sub", changed("act", json!({})), "`act`"),
            ("act a text", changed("act", json!("bot")), "`act`"),
            ("bound to a key of its holder", changed("cnf", json!({ "jkt": "x" })), "bound"),
            ("a lone surrogate", spelled(r#""sub":"ada""#, r#""sub":"\ud800""#), "single reading"),
            ("claims a list", signer.raw(r#"{"alg":"ES256","kid":"k1"}"#, "[]"), "compact"),
            ("claims nested deep", signer.raw(r#"{"alg":"ES256","kid":"k1"}"#, &"[".repeat(5_000)), "single reading"),
        ],
    );
}

#[test]
fn an_id_token_is_refused() {
    let (door, signer) = setup();
    for claim in ["nonce", "at_hash", "c_hash", "s_hash"] {
        for header in [r#"{"alg":"ES256","kid":"k1","typ":"JWT"}"#, r#"{"alg":"ES256","kid":"k1"}"#] {
            let token = signer.raw(header, &with(claims(A), claim, json!("x")).to_string());
            refuse(&door, vec![(claim, token, "ID token")]);
        }
    }
}

#[test]
fn a_hostile_shape_is_refused() {
    let (door, signer) = setup();
    let token = signer.token("k1", &claims(A));
    let other = signer.token("k1", &with(claims(A), "sub", json!("eve")));
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let (header, body) = signed.split_once('.').unwrap();
    let foreign = other.rsplit_once('.').unwrap().1;
    // 64 bytes are 86 digits, and the last one has four spare bits.
    let spare = {
        let last = signature.chars().last().unwrap();
        let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let place = alphabet.find(last).unwrap();
        format!("{signed}.{}{}", &signature[..signature.len() - 1], &alphabet[place + 1..=place + 1])
    };
    let zeros = format!("{signed}.{}", base64([0; 64]));
    refuse(
        &door,
        vec![
            ("no part", "x".to_owned(), "compact"),
            ("two parts", signed.to_owned(), "compact"),
            ("four parts", format!("{token}.{signature}"), "compact"),
            ("five parts", format!("{header}..{body}.{signature}."), "compact"),
            ("a dot before", format!(".{token}"), "compact"),
            ("an empty signature", format!("{signed}."), "signature"),
            ("a signature of zeros", zeros, "signature"),
            ("a short signature", format!("{signed}.{}", &signature[..40]), "signature"),
            ("the signature of another token", format!("{signed}.{foreign}"), "signature"),
            ("padding", format!("{token}=="), "compact"),
            ("padding within", format!("{header}=.{body}.{signature}"), "compact"),
            ("the alphabet with plus", format!("{header}+.{body}.{signature}"), "compact"),
            ("spare bits", spare, "compact"),
            ("16 KiB", format!("{token}{}", "A".repeat(16 * 1024)), "longer"),
            ("a megabyte", "A".repeat(1024 * 1024), "longer"),
            ("white space within", token.replace('.', ". "), "space"),
            ("white space after", format!("{token} "), "space"),
            ("a line break", format!("{token}\n"), "space"),
        ],
    );
    assert!(present(&door, &token, NOW).is_ok());
}

#[test]
fn of_two_issuers_each_speaks_with_its_own_keys_for_its_own_tenants() {
    let web = Arc::new(Web::default());
    let (a, b) = (Signer::p256(), Signer::p256());
    web.issuer(A, &[a.jwk("k1")]);
    web.issuer(B, &[b.jwk("k1")]);
    let tenants = |names: &[&str]| TenantFrom::Claim {
        name: "tenant".to_owned(),
        tenants: names.iter().map(|name| refmon_core::ids::TenantId::parse(name).unwrap()).collect(),
    };
    let issuers = vec![configured(A, tenants(&["acme", "apex"])), configured(B, tenants(&["bolt"]))];
    let fetch: Arc<dyn Fetch> = Arc::clone(&web) as _;
    let door = Authenticator::new(None, None, issuers, &fetch).unwrap();
    let bolt = with(claims(B), "tenant", json!("bolt"));
    assert!(present(&door, &a.token("k1", &claims(A)), NOW).is_ok());
    assert_eq!(present(&door, &b.token("k1", &bolt), NOW).unwrap().tenant().as_str(), "bolt");
    let stolen = with(claims(B), "tenant", json!("acme"));
    let fetched = web.fetched();
    refuse(
        &door,
        vec![
            ("the key of A, the name of B", a.token("k1", &bolt), "signature"),
            ("the key of B, the name of A", b.token("k1", &claims(A)), "signature"),
            ("the tenant of A from B", b.token("k1", &stolen), "`tenant`"),
            ("a third issuer", a.token("k1", &claims("https://c.example")), "not configured"),
        ],
    );
    assert_eq!(web.fetched(), fetched, "a name that is not configured is not asked");
}

#[test]
fn an_issuer_is_compared_where_its_keys_are() {
    let (web, signer) = (Arc::new(Web::default()), Signer::p256());
    web.issuer(A, &[signer.jwk("k1")]);
    let verifier = Verifier::new(configured(A, TenantFrom::AnyIn("tenant".to_owned())), web);
    assert!(run(verifier.verify(&signer.token("k1", &claims(A)), at(NOW))).is_ok());
    let mixed = run(verifier.verify(&signer.token("k1", &claims(B)), at(NOW)));
    assert!(matches!(mixed, Err(Why::Issuer)));
}

#[test]
fn the_configuration_decides_where_parts_come_from() {
    let (web, signer) = (Arc::new(Web::default()), Signer::ed25519());
    web.issuer(A, &[signer.jwk("k1")]);
    let fetch: Arc<dyn Fetch> = Arc::clone(&web) as _;
    let issuer = configured(A, TenantFrom::Fixed(refmon_core::ids::TenantId::parse("only").unwrap()))
        .with_algorithms(vec![Algorithm::EdDsa])
        .unwrap()
        .with_leeway_seconds(0)
        .unwrap()
        .with_required_claims(vec!["jti".to_owned()])
        .unwrap()
        .with_user("email")
        .unwrap()
        .with_agent(AgentFrom::Claim("bot".to_owned()))
        .unwrap()
        .with_scopes(ScopesFrom::Claim("roles".to_owned()))
        .unwrap();
    let door = Authenticator::new(None, None, vec![issuer], &fetch).unwrap();
    let whole = json!({
        "iss": A, "aud": RESOURCE, "exp": NOW + 1, "tenant": "ignored", "jti": "1", "email": "ada@a.example",
        "bot": "b", "roles": ["r"],
    });
    let caller = present(&door, &signer.token("k1", &whole), NOW).unwrap();
    assert_eq!((caller.tenant().as_str(), caller.user().as_str()), ("only", "ada@a.example"));
    assert_eq!((caller.agent().as_str(), caller.scopes()[0].as_str()), ("b", "r"));
    let mut rows =
        vec![("expired by a second", signer.token("k1", &with(whole.clone(), "exp", json!(NOW))), "expired")];
    for (name, reason) in [("jti", "`jti`"), ("email", "`email`"), ("bot", "`bot`")] {
        rows.push((name, signer.token("k1", &with(whole.clone(), name, Value::Null)), reason));
    }
    rows.push(("ES256", Signer::p256().token("k1", &whole), "algorithm"));
    refuse(&door, rows);
    let nothing = signer.raw(r#"{"alg":"EdDSA"}"#, &whole.to_string().replace(r#""jti":"1""#, r#""jti":null"#));
    refuse(&door, vec![("a required claim that is null", nothing, "`jti`")]);
}

#[test]
fn clocks_may_differ_by_the_leeway_and_no_more() {
    let (door, signer) = setup();
    let token = signer.token("k1", &claims(A));
    assert!(present(&door, &token, NOW + 629).is_ok());
    assert!(matches!(present(&door, &token, NOW + 630), Err(Why::TokenExpired)));
    let early = signer.token("k1", &with(claims(A), "nbf", json!(NOW + 30)));
    assert!(present(&door, &early, NOW).is_ok());
    assert!(run(door.authenticate(&[format!("bEARER {token}").as_bytes()], at(NOW))).is_ok());
}
