//! The Cedar schema, in Cedar's JSON form (where every name is data) and as text for people.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use cedar_policy_core::extensions::Extensions;
use cedar_policy_core::validator::ValidatorSchema;
use refmon_core::facts::FactType;
use serde_json::{Map, Value, json};

use super::plan::Plan;
use super::shape::Shape;
use super::{CompileError, NAMESPACE};

/// The action groups and what each is in.
const GROUPS: [(&str, Option<&str>); 7] = [
    ("call", None),
    ("read", Some("call")),
    ("write", Some("call")),
    ("execute", Some("call")),
    ("admin", Some("call")),
    ("external", Some("call")),
    ("destructive", Some("write")),
];

pub(super) fn schema<'p>(plans: impl IntoIterator<Item = &'p Arc<Plan>>) -> Result<ValidatorSchema, CompileError> {
    let mut actions = Map::new();
    for (group, parent) in GROUPS {
        let member_of: Vec<Value> = parent.iter().map(|parent| json!({ "id": parent })).collect();
        actions.insert(group.to_owned(), json!({ "memberOf": member_of }));
    }
    for plan in plans {
        let groups: Vec<Value> = plan.effects.iter().map(|effect| json!({ "id": effect })).collect();
        let applies = json!({ "principalTypes": ["Agent"], "resourceTypes": ["Server"], "context": context(plan) });
        actions.insert(plan.action.clone(), json!({ "memberOf": groups, "appliesTo": applies }));
    }
    let entity = |name: &str| json!({ "type": "Entity", "name": name });
    let agent = record([
        ("user", entity("User")),
        ("tenant", entity("Tenant")),
        ("scopes", set("String")),
        ("identity", json!({ "type": "String" })),
    ]);
    let types = json!({
        "Tenant": {},
        "User": { "memberOfTypes": ["Tenant"] },
        "Agent": { "memberOfTypes": ["Tenant"], "shape": agent },
        "Server": { "memberOfTypes": ["Tenant"] },
    });
    let schema = json!({ NAMESPACE: { "entityTypes": types, "actions": actions } });
    ValidatorSchema::from_json_value(schema, Extensions::all_available())
        .map_err(|error| CompileError::Schema(error.to_string()))
}

fn context(plan: &Plan) -> Value {
    let facts = plan.facts.iter().map(|fact| {
        let fields = fact.fields.iter().map(|(name, kind)| (name.as_str(), fact_type(*kind)));
        (fact.path.as_str(), optional(record(fields)))
    });
    let contract = record([
        ("effects", set("String")),
        ("hold", json!({ "type": "String" })),
        ("version", json!({ "type": "Long" })),
        ("only_reads", json!({ "type": "Boolean" })),
        ("operation", json!({ "type": "String" })),
        ("server", json!({ "type": "String" })),
    ]);
    record([
        ("facts", record(facts)),
        ("args", shapes(&plan.arguments)),
        ("contract", contract),
        ("granted", set("String")),
        ("now", json!({ "type": "Extension", "name": "datetime" })),
    ])
}

fn shapes(shapes: &BTreeMap<String, Shape>) -> Value {
    record(shapes.iter().map(|(name, shape)| (name.as_str(), optional(shape_type(shape)))))
}

fn shape_type(shape: &Shape) -> Value {
    match shape {
        Shape::Flag => json!({ "type": "Boolean" }),
        Shape::Long => json!({ "type": "Long" }),
        Shape::Decimal => json!({ "type": "Extension", "name": "decimal" }),
        Shape::Text => json!({ "type": "String" }),
        Shape::Texts => set("String"),
        Shape::Longs => set("Long"),
        Shape::Record(inner) => shapes(inner),
    }
}

fn fact_type(kind: FactType) -> Value {
    match kind {
        FactType::Flag => json!({ "type": "Boolean" }),
        FactType::Long => json!({ "type": "Long" }),
        FactType::Decimal => json!({ "type": "Extension", "name": "decimal" }),
        FactType::Text => json!({ "type": "String" }),
        FactType::Texts => set("String"),
    }
}

fn set(element: &str) -> Value {
    json!({ "type": "Set", "element": { "type": element } })
}

fn record<'n>(attributes: impl IntoIterator<Item = (&'n str, Value)>) -> Value {
    let attributes: Map<String, Value> = attributes.into_iter().map(|(name, kind)| (name.to_owned(), kind)).collect();
    json!({ "type": "Record", "attributes": attributes })
}

fn optional(mut kind: Value) -> Value {
    if let Some(kind) = kind.as_object_mut() {
        kind.insert("required".to_owned(), Value::Bool(false));
    }
    kind
}

/// What people read beside their policies. It says the same as [`schema`], which alone is in force.
pub(super) fn text(plans: &[Arc<Plan>]) -> String {
    let mut out = String::new();
    let mut line = |text: String| {
        if writeln!(out, "{text}").is_err() {
            // Writing to a `String` does not fail.
        }
    };
    line(format!("namespace {NAMESPACE} {{"));
    line("  entity Tenant;\n  entity User in [Tenant];\n  entity Server in [Tenant];".to_owned());
    line(
        "  entity Agent in [Tenant] = { user: User, tenant: Tenant, scopes: Set<String>, identity: String };"
            .to_owned(),
    );
    for (group, parent) in GROUPS {
        line(format!("  action {group}{};", parent.map(|parent| format!(" in [{parent}]")).unwrap_or_default()));
    }
    for plan in plans {
        line(format!("  action {:?} in [{}] appliesTo {{", plan.action, plan.effects.join(", ")));
        line("    principal: [Agent], resource: [Server], context: {\n      facts: {".to_owned());
        for fact in &plan.facts {
            let fields = fact.fields.iter().map(|(name, kind)| format!("{name}: {}", fact_name(*kind)));
            line(format!("        {:?}?: {{ {} }},", fact.path, fields.collect::<Vec<_>>().join(", ")));
        }
        line(format!("      }},\n      args: {},", shape_text(&plan.arguments)));
        line("      contract: { effects: Set<String>, hold: String, version: Long, only_reads: Bool,".to_owned());
        line("                  operation: String, server: String },".to_owned());
        line("      granted: Set<String>, now: datetime\n    }\n  };".to_owned());
    }
    line("}".to_owned());
    out
}

fn shape_text(shapes: &BTreeMap<String, Shape>) -> String {
    let attributes = shapes.iter().map(|(name, shape)| format!("{name:?}?: {}", shape_name(shape)));
    format!("{{ {} }}", attributes.collect::<Vec<_>>().join(", "))
}

fn shape_name(shape: &Shape) -> String {
    match shape {
        Shape::Flag => "Bool".to_owned(),
        Shape::Long => "Long".to_owned(),
        Shape::Decimal => "decimal".to_owned(),
        Shape::Text => "String".to_owned(),
        Shape::Texts => "Set<String>".to_owned(),
        Shape::Longs => "Set<Long>".to_owned(),
        Shape::Record(inner) => shape_text(inner),
    }
}

const fn fact_name(kind: FactType) -> &'static str {
    match kind {
        FactType::Flag => "Bool",
        FactType::Long => "Long",
        FactType::Decimal => "decimal",
        FactType::Text => "String",
        FactType::Texts => "Set<String>",
    }
}
