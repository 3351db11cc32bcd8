//! Plans: how the facts and arguments of one operation become a Cedar context.
//!
//! A plan and the schema of its action are made from the same contract and definition. What a plan builds
//! therefore always fits the type that policies were checked against, or is a [`Misfit`].

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use cedar_policy_core::ast::{EntityUID, ExtensionFunction, Literal, Name, PartialValue, Value};
use cedar_policy_core::extensions::Extensions;
use refmon_core::contract::{Contract, HoldMode};
use refmon_core::facts::{Fact, FactType, Facts};
use refmon_core::json::Json;
use refmon_core::ports::Moment;
use smol_str::SmolStr;

use super::shape::Shape;

/// A value that does not fit its plan. The call is denied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Misfit {
    /// A fact is missing, unknown or of another type than its kind says.
    #[error("the facts of the argument `{0}` are not those that its kind yields")]
    Fact(String),
    /// An argument is not of the type that its schema allows.
    #[error("the argument `{0}` does not have the type that its schema allows")]
    Argument(String),
    /// Cedar's own constructors refused a value.
    #[error("a value is out of the range of the policy language")]
    Range,
}

/// How to build the context of one operation.
#[derive(Debug)]
pub struct Plan {
    pub(super) action: String,
    pub(super) effects: Vec<&'static str>,
    pub(super) facts: Vec<FactPlan>,
    pub(super) arguments: BTreeMap<String, Shape>,
    server: String,
    contract: Value,
}

#[derive(Debug)]
pub(super) struct FactPlan {
    pub(super) path: SmolStr,
    pub(super) fields: Vec<(SmolStr, FactType)>,
}

/// The attributes of a record.
pub(crate) type Attributes = BTreeMap<SmolStr, Value>;

impl Plan {
    pub(super) fn new(contract: &Contract, arguments: BTreeMap<String, Shape>) -> Self {
        let facts = contract.arguments.values().map(|rule| FactPlan {
            path: rule.path.as_str().into(),
            fields: rule.fact_types().into_iter().map(|(name, kind)| (SmolStr::new_static(name), kind)).collect(),
        });
        Self {
            action: contract.action(),
            effects: contract.effects.iter().map(refmon_core::contract::Effect::as_str).collect(),
            facts: facts.collect(),
            arguments,
            server: contract.server.to_string(),
            contract: contract_value(contract),
        }
    }

    /// The name of the action.
    #[must_use]
    pub fn action(&self) -> &str {
        &self.action
    }

    /// The name of the server.
    #[must_use]
    pub fn server(&self) -> &str {
        &self.server
    }

    /// The names of the effects.
    #[must_use]
    pub fn effects(&self) -> &[&'static str] {
        &self.effects
    }

    /// The names of the facts of an argument, if the contract has a rule for it.
    pub(crate) fn fact_names(&self, argument: &str) -> Option<impl Iterator<Item = &str>> {
        let plan = self.facts.iter().find(|plan| plan.path == argument)?;
        Some(plan.fields.iter().map(|(name, _)| name.as_str()))
    }

    /// Builds the context without `granted`.
    ///
    /// # Errors
    /// [`Misfit`] if facts or arguments do not fit.
    pub(crate) fn context(&self, facts: &Facts, arguments: &Json<'_>, now: Value) -> Result<Attributes, Misfit> {
        Ok(Attributes::from([
            (SmolStr::new_static("facts"), record(self.facts(facts)?)),
            (SmolStr::new_static("args"), record(members(&self.arguments, arguments, "(arguments)")?)),
            (SmolStr::new_static("contract"), self.contract.clone()),
            (SmolStr::new_static("now"), now),
        ]))
    }

    fn facts(&self, facts: &Facts) -> Result<Attributes, Misfit> {
        let mut record_of_facts = Attributes::new();
        let mut known = 0usize;
        for plan in &self.facts {
            let Some(found) = facts.of(&plan.path) else { continue };
            known += 1;
            if found.len() != plan.fields.len() {
                return Err(Misfit::Fact(plan.path.to_string()));
            }
            let mut fields = Attributes::new();
            for (name, kind) in &plan.fields {
                let value = found.get(name.as_str()).and_then(|fact| of_fact(fact, *kind));
                fields.insert(name.clone(), value.ok_or_else(|| Misfit::Fact(plan.path.to_string()))?);
            }
            record_of_facts.insert(plan.path.clone(), record(fields));
        }
        let unknown = facts.iter().nth(known).is_some();
        if unknown { Err(Misfit::Fact("(another)".to_owned())) } else { Ok(record_of_facts) }
    }
}

fn contract_value(contract: &Contract) -> Value {
    let hold = match contract.hold {
        HoldMode::Always => "always",
        HoldMode::Policy => "policy",
        HoldMode::Never => "never",
    };
    record(Attributes::from([
        ("effects".into(), texts(contract.effects.iter().map(refmon_core::contract::Effect::as_str))),
        ("hold".into(), Value::from(hold)),
        ("version".into(), Value::from(i64::from(contract.version))),
        ("only_reads".into(), Value::from(contract.effects.only_reads())),
        ("operation".into(), Value::from(contract.operation.to_string())),
        ("server".into(), Value::from(contract.server.as_str())),
    ]))
}

fn of_fact(fact: &Fact, kind: FactType) -> Option<Value> {
    match (fact, kind) {
        (Fact::Flag(value), FactType::Flag) => Some(Value::from(*value)),
        (Fact::Long(value), FactType::Long) => Some(Value::from(*value)),
        (Fact::Decimal(value), FactType::Decimal) => decimal(*value).ok(),
        (Fact::Text(value), FactType::Text) => Some(Value::from(value.as_str())),
        (Fact::Texts(values), FactType::Texts) => Some(texts(values.iter().map(String::as_str))),
        (Fact::Flag(_) | Fact::Long(_) | Fact::Decimal(_) | Fact::Text(_) | Fact::Texts(_), _) => None,
    }
}

/// The visible members of an object. A member that has no shape is invisible, `null` is absent.
fn members(shapes: &BTreeMap<String, Shape>, json: &Json<'_>, at: &str) -> Result<Attributes, Misfit> {
    let misfit = || Misfit::Argument(at.to_owned());
    let mut attributes = Attributes::new();
    for (name, value) in json.as_object().ok_or_else(misfit)? {
        let Some(shape) = shapes.get(name.as_ref()) else { continue };
        if *value != Json::Null {
            attributes.insert(name.as_ref().into(), of_argument(shape, value, name)?);
        }
    }
    Ok(attributes)
}

fn of_argument(shape: &Shape, json: &Json<'_>, at: &str) -> Result<Value, Misfit> {
    let misfit = || Misfit::Argument(at.to_owned());
    let long = |json: &Json<'_>| json.as_number().and_then(|number| number.as_i64()).ok_or_else(misfit);
    let text = |json: &Json<'_>| json.as_text().map(Literal::from).ok_or_else(misfit);
    match shape {
        Shape::Flag => json.as_bool().map(Value::from).ok_or_else(misfit),
        Shape::Long => long(json).map(Value::from),
        Shape::Text => text(json).map(Value::from),
        Shape::Decimal => decimal(json.as_number().and_then(|number| number.as_decimal4()).ok_or_else(misfit)?),
        Shape::Texts => set(json.as_list().ok_or_else(misfit)?.iter().map(text)),
        Shape::Longs => set(json.as_list().ok_or_else(misfit)?.iter().map(|item| long(item).map(Literal::from))),
        Shape::Record(shapes) => members(shapes, json, at).map(record),
    }
}

fn set(items: impl Iterator<Item = Result<Literal, Misfit>>) -> Result<Value, Misfit> {
    Ok(Value::set_of_lits(items.collect::<Result<Vec<_>, _>>()?, None))
}

/// A record value.
pub(crate) fn record(attributes: Attributes) -> Value {
    Value::record_arc(Arc::new(attributes), None)
}

/// A set of texts.
pub(crate) fn texts<'a>(items: impl IntoIterator<Item = &'a str>) -> Value {
    Value::set_of_lits(items.into_iter().map(Literal::from), None)
}

/// An entity as a value.
pub(crate) fn entity(uid: &Arc<EntityUID>) -> Value {
    Value::from(Literal::EntityUID(Arc::clone(uid)))
}

/// The constructors of extension values, found once: their names would have to be parsed for every call.
struct Functions {
    decimal: &'static ExtensionFunction,
    duration: &'static ExtensionFunction,
    offset: &'static ExtensionFunction,
    epoch: Value,
}

static FUNCTIONS: LazyLock<Result<Functions, Misfit>> = LazyLock::new(|| {
    let find = |name: &str| {
        let name = Name::parse_unqualified_name(name).map_err(|_| Misfit::Range)?;
        Extensions::all_available().func(&name).map_err(|_| Misfit::Range)
    };
    Ok(Functions {
        decimal: find("decimal")?,
        duration: find("duration")?,
        offset: find("offset")?,
        epoch: call(find("datetime")?, &[Value::from("1970-01-01")])?,
    })
});

fn functions() -> Result<&'static Functions, Misfit> {
    FUNCTIONS.as_ref().map_err(Clone::clone)
}

fn call(function: &ExtensionFunction, arguments: &[Value]) -> Result<Value, Misfit> {
    match function.call(arguments) {
        Ok(PartialValue::Value(value)) => Ok(value),
        Ok(PartialValue::Residual(_)) | Err(_) => Err(Misfit::Range),
    }
}

fn decimal(times_10_000: i64) -> Result<Value, Misfit> {
    let sign = if times_10_000 < 0 { "-" } else { "" };
    let whole = times_10_000.unsigned_abs();
    let text = format!("{sign}{}.{:04}", whole / 10_000, whole % 10_000);
    call(functions()?.decimal, &[Value::from(text)])
}

/// The last second that was asked for: the constructor parses text, which takes longer than a whole evaluation.
#[derive(Debug, Default)]
pub(crate) struct Moments(Mutex<Option<(u64, Value)>>);

impl Moments {
    /// A point in time as a value, rounded down to the second. A comparison with a whole second comes out as it
    /// would for the exact moment.
    pub(crate) fn value(&self, moment: Moment) -> Result<Value, Misfit> {
        let second = moment.unix_us / 1_000_000;
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, value)) = last.as_ref().filter(|(at, _)| *at == second) {
            return Ok(value.clone());
        }
        let functions = functions()?;
        let since = call(functions.duration, &[Value::from(format!("{second}s"))])?;
        let value = call(functions.offset, &[functions.epoch.clone(), since])?;
        *last = Some((second, value.clone()));
        Ok(value)
    }
}
