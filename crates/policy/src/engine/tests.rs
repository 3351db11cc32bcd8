use refmon_core::contract::Effect;
use refmon_core::decision::{Decision, Ruling};
use refmon_core::facts::Facts;
use refmon_core::json::Json;
use refmon_core::ports::Policy as _;
use refmon_core::reason::ReasonCode;

use crate::testing::{ada, ask, caller, contract, contracts, engine, policies, tool, unchecked_engine, with};

const OPEN: &str = r#"{"properties":{"amount":{"type":"integer"},"owner":{"type":"string"},"note":{"type":"string"}}}"#;
const PERMIT: &str = r#"@id("p") @reason("r") permit(principal, action in Refmon::Action::"call", resource);"#;

fn reason(ruling: &Ruling) -> ReasonCode {
    match ruling {
        Ruling::Deny { reason, .. } => *reason,
        Ruling::Permit { .. } | Ruling::Hold { .. } => panic!("not denied: {ruling:?}"),
    }
}

// The four holes.

#[test]
fn a_forbid_that_errors_denies() {
    let pay = contract("bank", "pay", &[Effect::External]);
    let text = format!(
        "{PERMIT} @id(\"f\") @reason(\"r\") forbid(principal, action, resource) \
         when {{ context.args has amount && context.args.amount * 1000 > 5 }};"
    );
    let engine = engine(std::slice::from_ref(&pay), OPEN, &text);
    // The multiplication overflows: the stock authorizer would skip the forbid and permit.
    let ruling = ask(&engine, &ada(), &pay, r#"{"amount":9223372036854775807}"#, &[]);
    assert_eq!(reason(&ruling), ReasonCode::PolicyError);
    assert_eq!(policies(&ruling), ["f"]);
    assert_eq!(reason(&ask(&engine, &ada(), &pay, r#"{"amount":7}"#, &[])), ReasonCode::PolicyForbidden);
    assert_eq!(ask(&engine, &ada(), &pay, r#"{"amount":0}"#, &[]).decision(), Decision::Permit);
    // An attribute that is absent is an error too, where a policy was not checked.
    let unsafe_text =
        format!("{PERMIT} @id(\"f\") forbid(principal, action, resource) when {{ context.args.amount > 5 }};");
    let engine = unchecked_engine(std::slice::from_ref(&pay), OPEN, &unsafe_text);
    assert_eq!(reason(&ask(&engine, &ada(), &pay, "{}", &[])), ReasonCode::PolicyError);
}

#[test]
fn a_forbid_on_a_group_matches_through_the_hierarchy() {
    let send = contract("mail", "send", &[Effect::External]);
    let wipe = contract("mail", "wipe", &[Effect::Destructive]);
    let read = contract("mail", "list", &[Effect::Read]);
    let all = [send.clone(), wipe.clone(), read.clone()];
    let text = format!(
        "{PERMIT} @id(\"ext\") @reason(\"r\") forbid(principal, action in Refmon::Action::\"external\", resource);
         @id(\"wri\") @reason(\"r\") forbid(principal, action in [Refmon::Action::\"write\"], resource);"
    );
    let engine = engine(&all, "{}", &text);
    assert_eq!(policies(&ask(&engine, &ada(), &send, "{}", &[])), ["ext"]);
    assert_eq!(policies(&ask(&engine, &ada(), &wipe, "{}", &[])), ["wri"]);
    assert_eq!(ask(&engine, &ada(), &read, "{}", &[]).decision(), Decision::Permit);
}

#[test]
fn a_group_with_one_member_is_not_that_member() {
    let send = contract("mail", "send", &[Effect::External]);
    let text = r#"@id("p") @reason("r") permit(principal, action == Refmon::Action::"external", resource);"#;
    let engine = unchecked_engine(std::slice::from_ref(&send), "{}", text);
    assert_eq!(reason(&ask(&engine, &ada(), &send, "{}", &[])), ReasonCode::PolicyNoPermit);
}

#[test]
fn an_entity_escape_in_an_argument_is_text() {
    let schema = r#"{"properties":{"owner":{"type":"object","properties":{
        "__entity":{"type":"object","properties":{"type":{"type":"string"},"id":{"type":"string"}}},
        "__extn":{"type":"object","properties":{"fn":{"type":"string"},"arg":{"type":"string"}}}}},"name":{"type":"string"}}}"#;
    let pay = contract("bank", "pay", &[Effect::Read]);
    let text = r#"@id("p") @reason("r") permit(principal, action, resource) when { context.args has owner &&
        context.args.owner has __entity && context.args.owner.__entity has id && context.args.owner.__entity.id == "admin" };"#;
    let engine = engine(std::slice::from_ref(&pay), schema, text);
    let forged = r#"{"owner":{"__entity":{"type":"Refmon::User","id":"admin"},"__extn":{"fn":"decimal","arg":"1.0"}}}"#;
    // It is a record with a text in it, which this (silly) policy shows, and the stock authorizer agrees.
    assert_eq!(ask(&engine, &ada(), &pay, forged, &[]).decision(), Decision::Permit);
    // Where the schema says text, an object is no entity but an error.
    let text = r#"@id("p") @reason("r") permit(principal, action, resource) when { context.args has name };"#;
    let engine = unchecked_engine(std::slice::from_ref(&pay), schema, text);
    let ruling = ask(&engine, &ada(), &pay, r#"{"name":{"__entity":{"type":"Refmon::User","id":"admin"}}}"#, &[]);
    assert_eq!(reason(&ruling), ReasonCode::PolicyError);
}

#[test]
fn facts_are_canonical_where_raw_text_is_not() {
    let toml = r#"
        server = "files"
        version = 3
        [tool.read]
        effects = ["read"]
        args.path = { kind = "path" }
    "#;
    let read = contracts(toml).remove(0);
    let text = r#"@id("p") @reason("r") permit(principal, action, resource)
        when { context.facts has path && context.facts.path.value like "/srv/app/*" };"#;
    let engine = engine(std::slice::from_ref(&read), r#"{"properties":{"path":{"type":"string"}}}"#, text);
    assert_eq!(ask(&engine, &ada(), &read, r#"{"path":"/srv/app/x"}"#, &[]).decision(), Decision::Permit);
    let climbing = ask(&engine, &ada(), &read, r#"{"path":"/srv/app/../../etc/shadow"}"#, &[]);
    assert_eq!(reason(&climbing), ReasonCode::PolicyNoPermit);
}

// Deny by default.

#[test]
fn without_a_permit_and_without_an_action_a_call_is_denied() {
    let read = contract("files", "read", &[Effect::Read]);
    let other = contract("files", "other", &[Effect::Read]);
    let engine = engine(std::slice::from_ref(&read), "{}", "");
    assert_eq!(reason(&ask(&engine, &ada(), &read, "{}", &[])), ReasonCode::PolicyNoPermit);
    let open = unchecked_engine(std::slice::from_ref(&read), "{}", PERMIT);
    assert_eq!(reason(&ask(&open, &ada(), &other, "{}", &[])), ReasonCode::PolicyNoPermit);
    assert!(!open.conceivable(&ada(), &tool(&other)));
}

#[test]
fn an_argument_that_does_not_fit_its_plan_denies() {
    let pay = contract("bank", "pay", &[Effect::Read]);
    let engine = engine(std::slice::from_ref(&pay), OPEN, PERMIT);
    for arguments in
        [r#"{"amount":"x"}"#, r#"{"amount":18446744073709551615}"#, r#"{"owner":5}"#, "[]", r#"{"amount":1.5}"#]
    {
        assert_eq!(reason(&ask(&engine, &ada(), &pay, arguments, &[])), ReasonCode::PolicyError, "{arguments}");
    }
    assert_eq!(ask(&engine, &ada(), &pay, r#"{"amount":null,"unseen":[1]}"#, &[]).decision(), Decision::Permit);
}

#[test]
fn facts_that_are_not_those_of_the_contract_deny() {
    let toml = "server = \"s\"\nversion = 1\n[tool.t]\neffects = [\"read\"]\nargs.a = { kind = \"text\" }";
    let with_rule = contracts(toml).remove(0);
    let mut without = with_rule.clone();
    without.arguments.clear();
    let engine = unchecked_engine(&[without.clone()], "{}", PERMIT);
    let json = Json::parse(br#"{"a":"x"}"#).unwrap();
    let facts = refmon_core::kinds::extract(&with_rule, &json, &crate::testing::FakeFiles).unwrap();
    let ruling = with(&ada(), &without, &facts, &json, |question| engine.rule(question));
    assert_eq!(reason(&ruling), ReasonCode::PolicyError);
    let ruling = with(&ada(), &without, &Facts::default(), &json, |question| engine.rule(question));
    assert_eq!(ruling.decision(), Decision::Permit);
}

#[test]
fn a_tenant_never_matches_another_tenants_agent() {
    let read = contract("files", "read", &[Effect::Read]);
    let text = r#"@id("p") @reason("r") permit(principal == Refmon::Agent::"acme/helper", action, resource);"#;
    let engine = engine(std::slice::from_ref(&read), "{}", text);
    assert_eq!(ask(&engine, &ada(), &read, "{}", &[]).decision(), Decision::Permit);
    for other in
        [caller("evil", "ada", "helper", &[]), caller("evil", "x", "acme/helper", &[]), caller("acme", "a", "h", &[])]
    {
        assert_eq!(ask(&engine, &other, &read, "{}", &[]).decision(), Decision::Deny);
    }
    let nested = r#"@id("p") @reason("r") permit(principal == Refmon::Agent::"a/b/c", action, resource);"#;
    let engine = unchecked_engine(std::slice::from_ref(&read), "{}", nested);
    assert_eq!(ask(&engine, &caller("a", "u", "b/c", &[]), &read, "{}", &[]).decision(), Decision::Permit);
    assert_eq!(ask(&engine, &caller("a/b", "u", "c", &[]), &read, "{}", &[]).decision(), Decision::Deny);
}

#[test]
fn scopes_users_and_tenants_are_attributes_of_the_caller() {
    let read = contract("files", "read", &[Effect::Read]);
    let text = r#"@id("p") @reason("r") permit(principal is Refmon::Agent in Refmon::Tenant::"acme", action, resource == Refmon::Server::"files")
        when { principal.scopes.contains("files:read") && principal.user == Refmon::User::"acme/ada" &&
               principal.user in principal.tenant && resource in principal.tenant && principal.identity == "local" };"#;
    let engine = engine(std::slice::from_ref(&read), "{}", text);
    assert_eq!(ask(&engine, &ada(), &read, "{}", &[]).decision(), Decision::Permit);
    for other in [
        caller("acme", "ada", "helper", &[]),
        caller("acme", "bob", "helper", &["files:read"]),
        caller("b", "ada", "helper", &["files:read"]),
    ] {
        assert_eq!(ask(&engine, &other, &read, "{}", &[]).decision(), Decision::Deny);
    }
}

// Demands.

#[test]
fn an_approval_is_offered_only_where_it_suffices() {
    let wipe = contract("files", "wipe", &[Effect::Destructive]);
    let all = std::slice::from_ref(&wipe);
    let demand = r#"@id("d") @reason("deleting") @approval("operator") forbid(principal, action in Refmon::Action::"destructive", resource)
        unless { context.granted.contains("approval:operator") };"#;
    // Without a permit, nobody is asked.
    let alone = engine(all, "{}", demand);
    assert_eq!(reason(&ask(&alone, &ada(), &wipe, "{}", &[])), ReasonCode::PolicyNoPermit);
    // With a permit, one is.
    let both = engine(all, "{}", &format!("{PERMIT}{demand}"));
    let held = ask(&both, &ada(), &wipe, "{}", &[]);
    let Ruling::Hold { approvals, explanation, .. } = &held else { panic!("{held:?}") };
    assert_eq!(approvals.iter().map(|kind| kind.as_str()).collect::<Vec<_>>(), ["operator"]);
    assert_eq!(explanation.as_deref(), Some("deleting"));
    // With the approval, the call runs, and the record names the forbid that was lifted.
    let permitted = ask(&both, &ada(), &wipe, "{}", &["operator"]);
    assert_eq!(permitted.decision(), Decision::Permit);
    assert_eq!(policies(&permitted), ["d", "p"]);
    // Beside a plain forbid, nobody is asked.
    let never =
        engine(all, "{}", &format!("{PERMIT}{demand} @id(\"no\") @reason(\"r\") forbid(principal, action, resource);"));
    let denied = ask(&never, &ada(), &wipe, "{}", &[]);
    assert_eq!((reason(&denied), policies(&denied)), (ReasonCode::PolicyForbidden, vec!["no"]));
}

#[test]
fn demands_are_collected_over_several_passes() {
    let wipe = contract("files", "wipe", &[Effect::Destructive]);
    let text = format!(
        "{PERMIT}
        @id(\"a\") @reason(\"ra\") @approval(\"operator\") forbid(principal, action, resource) unless {{ context.granted.contains(\"approval:operator\") }};
        @id(\"b\") @reason(\"rb\") @approval(\"manager\") forbid(principal, action, resource) unless {{ context.granted.contains(\"approval:manager\") }};
        @id(\"c\") @reason(\"rc\") @obligation(\"withhold_output\") forbid(principal, action, resource) unless {{ context.granted.contains(\"withhold_output\") }};"
    );
    let engine = engine(std::slice::from_ref(&wipe), "{}", &text);
    let Ruling::Hold { approvals, policies, .. } = ask(&engine, &ada(), &wipe, "{}", &[]) else { panic!("not held") };
    assert_eq!(approvals.len(), 2);
    assert_eq!(policies.iter().map(|id| id.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    let Ruling::Hold { approvals, .. } = ask(&engine, &ada(), &wipe, "{}", &["manager"]) else { panic!("not held") };
    assert_eq!(approvals.iter().map(|kind| kind.as_str()).collect::<Vec<_>>(), ["operator"]);
    let Ruling::Permit { obligations, .. } = ask(&engine, &ada(), &wipe, "{}", &["manager", "operator"]) else {
        panic!("not permitted")
    };
    assert_eq!(obligations.len(), 1);
}

#[test]
fn conceivable_hides_only_what_no_call_can_get() {
    let read = contract("files", "read", &[Effect::Read]);
    let send = contract("files", "send", &[Effect::External]);
    let all = [read.clone(), send.clone()];
    let text = r#"@id("p") @reason("r") permit(principal, action in Refmon::Action::"read", resource) when { context.now > datetime("2099-01-01") };"#;
    let engine = engine(&all, "{}", text);
    assert!(engine.conceivable(&ada(), &tool(&read)));
    assert!(!engine.conceivable(&ada(), &tool(&send)));
    let forbidden = format!(
        "{PERMIT} @id(\"f\") @reason(\"r\") forbid(principal, action in Refmon::Action::\"external\", resource);"
    );
    let engine = unchecked_engine(&all, "{}", &forbidden);
    assert!(engine.conceivable(&ada(), &tool(&read)));
    assert!(!engine.conceivable(&ada(), &tool(&send)));
}

#[test]
fn now_and_the_contract_are_part_of_the_context() {
    let read = contract("files", "read", &[Effect::Read]);
    let text = r#"@id("p") @reason("r") permit(principal, action, resource) when {
        context.now > datetime("2026-01-01") && context.now < datetime("2099-01-01") && context.contract.only_reads &&
        context.contract.version == 1 && context.contract.server == "files" && context.contract.operation == "read" &&
        context.contract.effects == ["read"] && context.contract.hold == "policy" };"#;
    let engine = engine(std::slice::from_ref(&read), "{}", text);
    assert_eq!(ask(&engine, &ada(), &read, "{}", &[]).decision(), Decision::Permit);
}

#[test]
fn a_disagreement_with_the_stock_authorizer_is_sticky_and_denies() {
    let read = contract("files", "read", &[Effect::Read]);
    let mut engine = unchecked_engine(std::slice::from_ref(&read), "{}", PERMIT);
    // Breaks the engine's own copy: the stock authorizer still has the permit.
    engine.oracle = super::oracle::Oracle::new(&[]).unwrap();
    let json = Json::parse(b"{}").unwrap();
    let ruling = with(&ada(), &read, &Facts::default(), &json, |question| engine.rule(question));
    assert_eq!(reason(&ruling), ReasonCode::PolicyError);
    assert!(!engine.is_healthy());
    engine.options.self_check = None;
    let ruling = with(&ada(), &read, &Facts::default(), &json, |question| engine.rule(question));
    assert_eq!(reason(&ruling), ReasonCode::PolicyError);
}

#[test]
fn of_policies_that_ask_for_an_approval_the_one_that_wants_most_people_counts() {
    let asks = |id: &str, approvers: &str| {
        format!(
            "@id(\"{id}\") {approvers} @approval(\"operator\") forbid(principal, action, resource) \
             unless {{ context.granted.contains(\"approval:operator\") }};"
        )
    };
    for (first, second, expected) in
        [("", "", 1), ("", "@approvers(\"2\")", 2), ("@approvers(\"2\")", "@approvers(\"1\")", 2)]
    {
        let wipe = contract("files", "wipe", &[Effect::Destructive]);
        let text = format!("{PERMIT}{}{}", asks("a", first), asks("b", second));
        let engine = engine(std::slice::from_ref(&wipe), "{}", &text);
        let ruling = ask(&engine, &ada(), &wipe, "{}", &[]);
        let Ruling::Hold { approvers, .. } = ruling else { panic!("{ruling:?}") };
        assert_eq!(approvers, expected);
        assert!(matches!(ask(&engine, &ada(), &wipe, "{}", &["operator"]), Ruling::Permit { .. }));
    }
}
