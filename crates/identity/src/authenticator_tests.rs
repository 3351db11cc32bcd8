use std::sync::Arc;

use refmon_core::caller::{Caller, IdentityKind};
use refmon_core::ids::{AgentId, Scope, TenantId, UserId};
use serde_json::{Value, json};

use crate::api_key::{ApiKeys, NewKey};
use crate::authenticator::{Authenticator, SetupError};
use crate::certificate::{Certificates, Mapped};
use crate::fetch::Fetch;
use crate::limits::{TOKEN_REMEMBERED_SECONDS, TOKENS_REMEMBERED_MAX};
use crate::refused::{Outward, Why};
use crate::resource::Resource;
use crate::roles::Roles;
use crate::testing_tests::{A, B, NOW, RESOURCE, Signer, Web, at, claims, configured, door, present, run, with};
use crate::token::TenantFrom;

fn caller(kind: IdentityKind) -> Caller {
    let (tenant, user) = (TenantId::parse("acme").unwrap(), UserId::parse("me").unwrap());
    Caller::authenticated(kind, tenant, user, AgentId::parse("ide").unwrap(), [])
}

fn nothing() -> Arc<dyn Fetch> {
    Arc::new(Web::default())
}

#[test]
fn without_a_credential_only_the_local_caller_comes_in() {
    let open = Authenticator::new(Some(caller(IdentityKind::Local)), None, vec![], &nothing()).unwrap();
    assert_eq!(run(open.authenticate(&[], at(NOW))).unwrap().kind(), IdentityKind::Local);
    let closed = door(&Arc::new(Web::default()));
    let refused = run(closed.authenticate(&[], at(NOW))).unwrap_err();
    assert_eq!((refused.outward(), refused.status()), (Outward::Missing, 401));
}

#[test]
fn a_wrong_credential_never_falls_back_to_the_local_caller() {
    let folder = tempfile::tempdir().unwrap();
    let keys = ApiKeys::open(folder.path()).unwrap();
    let (web, signer) = (Arc::new(Web::default()), Signer::p256());
    web.issuer(A, &[signer.jwk("k1")]);
    let fetch: Arc<dyn Fetch> = Arc::clone(&web) as _;
    let issuer = configured(A, TenantFrom::AnyIn("tenant".to_owned()));
    let local = Some(caller(IdentityKind::Local));
    let door = Authenticator::new(local, Some(keys), vec![issuer], &fetch).unwrap();
    let token = format!("Bearer {}", signer.token("k1", &claims(A)));
    let stolen = format!("Bearer {}", Signer::p256().token("k1", &claims(A)));
    let unknown = format!("Bearer refmon_0123456789abcdef_{}", "A".repeat(43));
    let extra = token.replacen(' ', "  ", 1);
    let tab = token.replacen(' ', "\t", 1);
    let basic = token.replacen("Bearer", "Basic", 1);
    let digest = token.replacen("Bearer", "Digest", 1);
    let dpop = token.replacen("Bearer", "DPoP", 1);
    let listed = format!("{token}, {token}");
    let after = format!("{token} ");
    let before = format!(" {token}");
    let rows: &[&[&str]] = &[
        &[""],
        &[" "],
        &["Bearer"],
        &["Bearer "],
        &["Bearer x"],
        &["Bearer refmon_"],
        &["Basic YTpi"],
        &[&token[7..]],
        &[&stolen],
        &[&unknown],
        &[&extra],
        &[&tab],
        &[&basic],
        &[&digest],
        &[&dpop],
        &[&listed],
        &[&after],
        &[&before],
        &[&token, &token],
        &[&token, ""],
        &["", &token],
    ];
    for row in rows {
        let values: Vec<&[u8]> = row.iter().map(|value| value.as_bytes()).collect();
        let refused = run(door.authenticate(&values, at(NOW))).expect_err(&format!("{row:?}"));
        assert_eq!(refused.outward(), Outward::Invalid, "{row:?}");
    }
    let not_text: &[u8] = b"Bearer \xff";
    assert!(run(door.authenticate(&[not_text], at(NOW))).is_err());
    for scheme in ["Bearer", "bearer", "BEARER"] {
        let value = token.replacen("Bearer", scheme, 1);
        assert_eq!(run(door.authenticate(&[value.as_bytes()], at(NOW))).unwrap().kind(), IdentityKind::Token);
    }
}

#[test]
fn a_credential_of_a_kind_that_is_not_configured_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let keys = Authenticator::new(None, Some(ApiKeys::open(folder.path()).unwrap()), vec![], &nothing()).unwrap();
    assert!(matches!(present(&keys, &Signer::p256().token("k1", &claims(A)), NOW), Err(Why::NotConfigured)));
    let tokens = door(&Arc::new(Web::default()));
    assert!(matches!(present(&tokens, "refmon_x", NOW), Err(Why::NotConfigured)));
}

#[test]
fn a_revoked_key_stops_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let keys = ApiKeys::open(folder.path()).unwrap();
    let (tenant, user) = (TenantId::parse("acme").unwrap(), UserId::parse("ada").unwrap());
    let new =
        NewKey { tenant, user, agent: AgentId::parse("ci").unwrap(), scopes: vec![], roles: vec![], expires: NOW + 60 };
    let (id, key) = keys.issue(new, at(NOW)).unwrap();
    let door = Authenticator::new(None, Some(keys), vec![], &nothing()).unwrap();
    assert_eq!(present(&door, key.expose(), NOW).unwrap().kind(), IdentityKind::ApiKey);
    door.keys().unwrap().revoke(id, at(NOW)).unwrap();
    assert!(matches!(present(&door, key.expose(), NOW), Err(Why::ApiKeyRevoked)));
}

#[test]
fn a_verified_token_is_remembered_until_it_expires_and_for_a_minute_at_most() {
    let (web, signer) = (Arc::new(Web::default()), Signer::p256());
    web.issuer(A, &[signer.jwk("k1")]);
    let door = door(&web);
    let token = signer.token("k1", &claims(A));
    let first = present(&door, &token, NOW).unwrap();
    let again = present(&door, &token, NOW + TOKEN_REMEMBERED_SECONDS - 1).unwrap();
    assert!(Arc::ptr_eq(&first, &again));
    let later = present(&door, &token, NOW + TOKEN_REMEMBERED_SECONDS).unwrap();
    assert!(!Arc::ptr_eq(&first, &later));
    let short = signer.token("k1", &with(claims(A), "exp", json!(NOW - 20)));
    assert!(present(&door, &short, NOW + 9).is_ok());
    assert!(matches!(present(&door, &short, NOW + 10), Err(Why::TokenExpired)));
}

#[test]
fn what_is_remembered_is_bounded_and_strangers_take_no_place() {
    let (web, signer) = (Arc::new(Web::default()), Signer::ed25519());
    web.issuer(A, &[signer.jwk("k1")]);
    let door = door(&web);
    for number in 0..TOKENS_REMEMBERED_MAX + 10 {
        let token = signer.token("k1", &with(claims(A), "jti", json!(number)));
        assert!(present(&door, &token, NOW).is_ok());
    }
    assert_eq!(door.remembered(), TOKENS_REMEMBERED_MAX);
    let stranger = Signer::ed25519();
    assert!(present(&door, &stranger.token("k1", &claims(A)), NOW + TOKEN_REMEMBERED_SECONDS).is_err());
    assert_eq!(door.remembered(), TOKENS_REMEMBERED_MAX);
    let token = signer.token("k1", &with(claims(A), "jti", json!("last")));
    assert!(present(&door, &token, NOW + TOKEN_REMEMBERED_SECONDS).is_ok());
    assert_eq!(door.remembered(), 1, "what no longer holds makes room");
}

#[test]
fn ways_in_that_do_not_go_together_are_refused_at_the_start() {
    let setup = |local, issuers| Authenticator::new(local, None, issuers, &nothing()).map(|_| ());
    let any = |issuer| configured(issuer, TenantFrom::AnyIn("tenant".to_owned()));
    let fixed = |issuer, tenant| configured(issuer, TenantFrom::Fixed(TenantId::parse(tenant).unwrap()));
    assert_eq!(setup(None, vec![]), Err(SetupError::NoWayIn));
    assert_eq!(setup(Some(caller(IdentityKind::Token)), vec![]), Err(SetupError::NotLocal));
    assert_eq!(setup(None, vec![fixed(A, "a"), fixed(A, "b")]), Err(SetupError::SameIssuer(A.to_owned())));
    assert_eq!(setup(None, vec![any(A), fixed(B, "b")]), Err(SetupError::AnyTenant(A.to_owned())));
    assert_eq!(setup(None, vec![fixed(B, "b"), any(A)]), Err(SetupError::AnyTenant(A.to_owned())));
    let same = SetupError::SameTenant { issuer: B.to_owned(), tenant: "a".to_owned() };
    assert_eq!(setup(None, vec![fixed(A, "a"), fixed(B, "a")]), Err(same));
    assert_eq!(setup(None, vec![fixed(A, "a"), fixed(B, "b")]), Ok(()));
    assert_eq!(setup(None, vec![any(A)]), Ok(()));
}

#[test]
fn the_metadata_name_the_issuers_and_no_more_than_is_configured() {
    let resource = Resource::parse(RESOURCE).unwrap();
    let door = door(&Arc::new(Web::default()));
    let document: Value = serde_json::from_str(&resource.metadata(door.issuers(), &[])).unwrap();
    assert_eq!(
        document,
        json!({ "resource": RESOURCE, "authorization_servers": [A], "bearer_methods_supported": ["header"] })
    );
    let scopes = [refmon_core::ids::Scope::parse("mail:read").unwrap()];
    let document: Value = serde_json::from_str(&resource.metadata(door.issuers(), &scopes)).unwrap();
    assert_eq!(document["scopes_supported"], json!(["mail:read"]));
    let other = Resource::parse("https://other.example").unwrap();
    let document: Value = serde_json::from_str(&other.metadata(door.issuers(), &[])).unwrap();
    assert_eq!(document["authorization_servers"], json!([]));
}

fn roles() -> Arc<Roles> {
    Arc::new(Roles::new([("reader".to_owned(), vec![Scope::parse("files:read").unwrap()])]))
}

fn texts(caller: &Caller) -> Vec<&str> {
    caller.scopes().iter().map(Scope::as_str).collect()
}

#[test]
fn a_tokens_roles_become_the_scopes_that_the_operator_gave_them() {
    let (web, signer, roles) = (Arc::new(Web::default()), Signer::p256(), roles());
    web.issuer(A, &[signer.jwk("k1")]);
    let fetch: Arc<dyn Fetch> = Arc::clone(&web) as _;
    let issuer = configured(A, TenantFrom::AnyIn("tenant".to_owned()));
    let issuer = issuer.with_roles("roles", Arc::clone(&roles)).unwrap();
    let door = Authenticator::new(None, None, vec![issuer], &fetch).unwrap();
    let scopes = |value: Value| {
        let token = signer.token("k1", &with(with(claims(A), "scope", Value::Null), "roles", value));
        present(&door, &token, NOW).map(|caller| texts(&caller).join(" "))
    };
    assert_eq!(scopes(json!(["reader"])).unwrap(), "files:read");
    assert_eq!(scopes(json!("ghost reader")).unwrap(), "files:read");
    assert_eq!(scopes(Value::Null).unwrap(), "", "no claim is no role");
    assert_eq!(scopes(json!(["files:read", "Reader"])).unwrap(), "", "a scope's name is not a role's");
    assert_eq!(roles.newly_unknown(), ["ghost", "files:read", "Reader"]);
    for wrong in
        [json!(1), json!({ "reader": true }), json!(["reader", 1]), json!(["r".repeat(257)]), json!(vec!["r"; 257])]
    {
        assert!(matches!(scopes(wrong.clone()), Err(Why::Claim(name)) if &*name == "roles"), "{wrong}");
    }
}

#[test]
fn a_claim_that_no_configuration_names_grants_no_role() {
    let (web, signer) = (Arc::new(Web::default()), Signer::p256());
    web.issuer(A, &[signer.jwk("k1")]);
    let token = signer.token("k1", &with(claims(A), "roles", json!(["reader"])));
    assert_eq!(texts(&present(&door(&web), &token, NOW).unwrap()), ["mail:read", "mail:send"]);
}

#[test]
fn a_keys_roles_are_looked_up_at_each_use() {
    let folder = tempfile::tempdir().unwrap();
    let (tenant, user) = (TenantId::parse("acme").unwrap(), UserId::parse("ada").unwrap());
    let new = |roles: &[&str]| NewKey {
        tenant: tenant.clone(),
        user: user.clone(),
        agent: AgentId::parse("ci").unwrap(),
        scopes: vec![Scope::parse("own").unwrap()],
        roles: roles.iter().map(ToString::to_string).collect(),
        expires: NOW + 60,
    };
    let keys = ApiKeys::open(folder.path()).unwrap();
    let (_, key) = keys.issue(new(&["reader", "ghost"]), at(NOW)).unwrap();
    assert!(keys.issue(new(&[""]), at(NOW)).is_err() && keys.list().unwrap().len() == 1);
    let of = |keys: ApiKeys| Authenticator::new(None, Some(keys), vec![], &nothing()).unwrap();
    assert_eq!(texts(&present(&of(keys), key.expose(), NOW).unwrap()), ["own"], "no roles are defined");
    let keys = ApiKeys::open(folder.path()).unwrap().with_roles(roles());
    assert_eq!(texts(&present(&of(keys), key.expose(), NOW).unwrap()), ["files:read", "own"]);
}

#[test]
fn at_a_door_of_certificates_no_other_credential_counts() {
    let uri = "spiffe://acme.example/ada".to_owned();
    let (tenant, user) = (TenantId::parse("acme").unwrap(), UserId::parse("ada").unwrap());
    let (agent, scopes) = (AgentId::parse("ide").unwrap(), vec![]);
    let mapped = Mapped { san: uri.clone(), tenant, user, agent, scopes };
    let door = Authenticator::of_certificates(Certificates::new([mapped]).unwrap());
    let uris = std::slice::from_ref(&uri);
    assert_eq!(door.by_certificate(uris, &[]).unwrap().kind(), IdentityKind::Certificate);
    assert!(matches!(door.by_certificate(uris, &[b"Bearer x"]).unwrap_err().why(), Why::SeveralCredentials));
    assert!(matches!(door.by_certificate(&[], &[]).unwrap_err().why(), Why::CertificateNames));
    assert!(matches!(run(door.authenticate(&[], at(NOW))).unwrap_err().why(), Why::NoCredential));
    assert!(matches!(present(&door, "refmon_x", NOW), Err(Why::NotConfigured)));
    let other = Authenticator::new(Some(caller(IdentityKind::Local)), None, vec![], &nothing()).unwrap();
    assert!(matches!(other.by_certificate(uris, &[]).unwrap_err().why(), Why::NotConfigured));
}
