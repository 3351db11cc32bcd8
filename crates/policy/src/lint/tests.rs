use refmon_core::contract::{Contract, Effect};

use super::*;
use crate::testing::{contract, contracts, lints};

fn world() -> Vec<Contract> {
    let mut all = contracts(
        "server = \"web\"\nversion = 1\n[tool.get]\neffects = [\"read\"]\nargs.url = { kind = \"url\" }\nargs.path = { kind = \"path\" }",
    );
    all.push(contract("web", "post", &[Effect::External]));
    all
}

const SCHEMA: &str = r#"{"properties":{"url":{"type":"string"},"path":{"type":"string"},"n":{"type":"integer"}}}"#;

/// The names of the lints that find something, with their severities.
fn found(text: &str) -> Vec<(&'static str, Severity)> {
    lints(&world(), SCHEMA, text)
        .into_iter()
        .filter(|finding| finding.rule != "no-guardrail" && finding.rule != "no-reason")
        .map(|finding| (finding.rule, finding.severity))
        .collect()
}

const GET: &str = r#"action == Refmon::Action::"web/get@1""#;

#[test]
fn a_policy_has_a_unique_name() {
    assert_eq!(
        found("permit(principal, action == Refmon::Action::\"web/get@1\", resource);"),
        [("id", Severity::Error)]
    );
    assert_eq!(found(&format!("@id(\"a b\") permit(principal, {GET}, resource);")), [("id", Severity::Error)]);
    let twice = format!(
        "@id(\"a\") permit(principal, {GET}, resource); @id(\"a\") forbid(principal, {GET}, resource) when {{ context.args has n }};"
    );
    assert_eq!(found(&twice), [("duplicate-id", Severity::Error)]);
    let findings = lints(&world(), SCHEMA, &format!("@id(\"a\") permit(principal, {GET}, resource);"));
    assert!(findings.iter().any(|finding| finding.rule == "no-reason" && finding.severity == Severity::Warning));
}

#[test]
fn types_are_checked_strictly_and_the_line_is_named() {
    for (condition, word) in [
        ("context.args.n > 5", "optional"),
        ("context.args has n && context.args.n > \"x\"", "Long"),
        ("context.args has nothing && context.args.nothing == 1", ""),
        ("context.facts has url && context.facts.url.hst == \"x\"", "hst"),
        ("action in Refmon::Action::\"no-such-group\"", "no-such-group"),
        ("principal.rights == 1", "rights"),
    ] {
        let text = format!("@id(\"a\") @reason(\"r\")\npermit(principal, {GET}, resource) when {{\n {condition} }};");
        let findings = lints(&world(), SCHEMA, &text);
        if word.is_empty() {
            // A `has` of what is not in the type is always false: dead, not wrong.
            assert!(findings.iter().any(|finding| finding.rule == "dead"), "{condition}: {findings:?}");
            continue;
        }
        let error = findings
            .iter()
            .find(|finding| finding.rule == "type")
            .unwrap_or_else(|| panic!("{condition}: {findings:?}"));
        assert_eq!(error.severity, Severity::Error);
        assert!(error.line == 3 && error.message.contains(word), "{error}");
    }
    assert_eq!(
        found(&format!(
            "@id(\"a\") permit(principal, {GET}, resource) when {{ context.args has n && context.args.n > 5 }};"
        )),
        []
    );
}

#[test]
fn an_action_outside_of_the_scope_may_be_named_in_a_condition() {
    let text = format!(
        "@id(\"a\") permit(principal, {GET}, resource) when {{ context.args has n || action == Refmon::Action::\"web/post@1\" }};"
    );
    assert_eq!(found(&text), []);
}

#[test]
fn granted_lifts_the_forbid_that_demands_it_and_is_read_nowhere_else() {
    let error = [("granted", Severity::Error)];
    let lifted = "unless { context.granted.contains(\"approval:k\") }";
    let fine = format!(
        "@id(\"a\") @approval(\"k\") forbid(principal, {GET}, resource) when {{ context.args has n }} {lifted};"
    );
    assert_eq!(found(&fine), []);
    for text in [
        // Another token, no token, in a permit, in `when`, beside something else, negated twice, unannotated.
        format!("@id(\"a\") @approval(\"x\") forbid(principal, {GET}, resource) {lifted};"),
        format!("@id(\"a\") @approval(\"k\") forbid(principal, {GET}, resource);"),
        format!("@id(\"a\") permit(principal, {GET}, resource) when {{ context.granted.contains(\"approval:k\") }};"),
        format!(
            "@id(\"a\") @approval(\"k\") forbid(principal, {GET}, resource) when {{ context.granted.contains(\"approval:k\") }};"
        ),
        format!(
            "@id(\"a\") @approval(\"k\") forbid(principal, {GET}, resource) unless {{ context.granted.contains(\"approval:k\") || context.args has n }};"
        ),
        format!(
            "@id(\"a\") @approval(\"k\") forbid(principal, {GET}, resource) when {{ context.granted.isEmpty() }} {lifted};"
        ),
        format!("@id(\"a\") forbid(principal, {GET}, resource) {lifted};"),
        format!("@id(\"a\") @obligation(\"withhold_output\") forbid(principal, {GET}, resource) {lifted};"),
    ] {
        assert_eq!(found(&text), error, "{text}");
    }
}

#[test]
fn a_demand_has_one_known_shape() {
    for annotation in [
        "@obligation(\"withold_output\")",
        "@approval(\"\")",
        "@approval",
        "@aproval(\"k\")",
        "@approval(\"a\") @obligation(\"withhold_output\")",
        "@approvers(\"2\")",
        "@obligation(\"withhold_output\") @approvers(\"2\")",
        "@approval(\"a\") @approvers(\"0\")",
        "@approval(\"a\") @approvers(\"3\")",
        "@approval(\"a\") @approvers(\"02\")",
        "@approval(\"a\") @approvers(\"two\")",
    ] {
        let findings = lints(&world(), SCHEMA, &format!("@id(\"a\") {annotation} forbid(principal, {GET}, resource);"));
        let error = findings.iter().find(|finding| matches!(finding.rule, "demand" | "annotation"));
        assert!(error.is_some_and(|error| error.severity == Severity::Error), "{annotation}: {findings:?}");
    }
    assert_eq!(
        found(&format!("@id(\"a\") @approval(\"k\") permit(principal, {GET}, resource);")),
        [("demand", Severity::Error)]
    );
}

#[test]
fn like_is_for_canonical_facts() {
    let with =
        |condition: &str| found(&format!("@id(\"a\") permit(principal, {GET}, resource) when {{ {condition} }};"));
    assert_eq!(with("context.args has path && context.args.path like \"/srv/*\""), [("raw-like", Severity::Error)]);
    assert_eq!(
        with("context.facts has url && context.facts.url.value like \"https://*.x.example/*\""),
        [("raw-like", Severity::Error)]
    );
    assert_eq!(with("context.facts has path && context.facts.path.value like \"/srv/*\""), []);
    assert_eq!(with("context.facts has url && context.facts.url.host like \"*.x.example\""), []);
    assert_eq!(with("principal.identity like \"lo*\""), [("raw-like", Severity::Warning)]);
}

#[test]
fn dead_policies_are_named() {
    let dead =
        |text: &str| found(text).iter().any(|(rule, severity)| *rule == "dead" && *severity == Severity::Warning);
    assert!(dead("@id(\"a\") permit(principal, action in Refmon::Action::\"admin\", resource);"));
    assert!(dead("@id(\"a\") permit(principal, action == Refmon::Action::\"read\", resource);"));
    assert!(dead(&format!("@id(\"a\") permit(principal == Refmon::Agent::\"helper\", {GET}, resource);")));
    assert!(dead(&format!("@id(\"a\") permit(principal is Refmon::User, {GET}, resource);")));
    assert!(dead(&format!("@id(\"a\") permit(principal, {GET}, resource) when {{ false }};")));
    assert!(dead(&format!(
        "@id(\"a\") permit(principal, {GET}, resource) when {{ context.contract.server == \"a\" && context.contract.server == \"b\" }};"
    )));
    assert!(dead(&format!("@id(\"a\") permit(principal, {GET}, resource is Refmon::Tenant);")));
    assert!(!dead(&format!(
        "@id(\"a\") permit(principal == Refmon::Agent::\"acme/helper\", {GET}, resource) when {{ context.contract.server == \"a\" }};"
    )));
}

#[test]
fn an_action_that_no_contract_has_is_an_error() {
    let findings =
        lints(&world(), SCHEMA, "@id(\"a\") permit(principal, action == Refmon::Action::\"web/gte@1\", resource);");
    let error = findings.iter().find(|finding| finding.rule == "type").unwrap();
    assert!(error.message.contains("web/get@1"), "the nearest action is named: {error}");
}

#[test]
fn shadowed_and_repeated_policies_are_named() {
    let narrow = format!("@id(\"n\") permit(principal, {GET}, resource) when {{ context.args has n }};");
    let rules = |text: String| found(&text).into_iter().map(|(rule, _)| rule).collect::<Vec<_>>();
    assert_eq!(
        rules(format!("{narrow} @id(\"f\") forbid(principal, action in Refmon::Action::\"read\", resource);")),
        ["shadowed"]
    );
    assert_eq!(
        rules(format!("{narrow} @id(\"p\") permit(principal, action in Refmon::Action::\"read\", resource);")),
        ["shadowed"]
    );
    assert_eq!(
        rules(format!("{narrow} @id(\"m\") permit(principal, {GET}, resource) when {{ context.args has n }};")),
        ["repeated"]
    );
    assert_eq!(
        rules(format!("{narrow} @id(\"f\") forbid(principal == Refmon::Agent::\"a/b\", {GET}, resource);")),
        Vec::<&str>::new()
    );
    assert_eq!(
        rules(format!("{narrow} @id(\"p\") permit(principal, action in Refmon::Action::\"external\", resource);")),
        Vec::<&str>::new()
    );
}

#[test]
fn an_unscoped_permit_a_long_policy_and_a_missing_guardrail_are_warned_about() {
    assert_eq!(found("@id(\"a\") permit(principal, action, resource);"), [("unscoped-permit", Severity::Warning)]);
    let long = format!(
        "@id(\"a\") permit(principal, {GET}, resource) when {{ context.contract.server != \"{}\" }};",
        "x".repeat(11_000)
    );
    assert_eq!(found(&long), [("long", Severity::Warning)]);
    let guard = |text: &str| lints(&world(), SCHEMA, text).iter().any(|finding| finding.rule == "no-guardrail");
    assert!(guard(&format!("@id(\"a\") forbid(principal, {GET}, resource);")));
    assert!(!guard(
        "@id(\"a\") forbid(principal, action in Refmon::Action::\"external\", resource) when { context.args has n };"
    ));
}

#[test]
fn text_that_does_not_parse_and_templates_are_errors_with_a_place() {
    let findings = lints(&world(), SCHEMA, "@id(\"a\") permit(principal,\n action resource);");
    assert_eq!((findings[0].rule, findings[0].severity, findings[0].line), ("syntax", Severity::Error, 2));
    assert_eq!(found("@id(\"a\") permit(principal == ?principal, action, resource);"), [("template", Severity::Error)]);
}

#[test]
fn the_packs_have_no_findings_over_ordinary_contracts() {
    let all: Vec<Contract> = Effect::ALL.iter().map(|effect| contract("s", effect.as_str(), &[*effect])).collect();
    for pack in crate::packs::ALL {
        let findings: Vec<Finding> =
            lints(&all, SCHEMA, pack.text).into_iter().filter(|finding| finding.rule != "no-guardrail").collect();
        assert!(findings.is_empty(), "{}: {findings:#?}", pack.name);
    }
}
