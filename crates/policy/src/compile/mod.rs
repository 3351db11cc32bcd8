//! Our own compiler from contracts and tool definitions to a strict Cedar schema, and to plans that build
//! contexts.
//!
//! One action per operation, with the quoted name `server/operation@version`, in the groups of its effects:
//!
//! ```text
//! call ◀─ read, write, execute, admin, external        destructive ─▶ write
//! Refmon::Action::"files/read_text_file@3" in [Refmon::Action::"read"]
//! principal Refmon::Agent = { user, tenant, scopes, identity } in Tenant;   resource Refmon::Server in Tenant
//! context { facts, args, contract, granted, now }
//! ```
//!
//! `context.facts["path"]` has what the kinds of the contract's arguments say, canonical. `context.args.name` has
//! the raw argument where its schema gives it one sound Cedar type; everything else is invisible to policy and is
//! reported, with the reason. All of both is optional: an absent argument is an absent attribute.
//!
//! Invariants:
//! - A tool's name cannot break the schema or become another action: it is data in a quoted name that always has
//!   a `/`, which no group has, and two operations with one name are an error.
//! - A context is built natively, by the same plan that the schema was made from, never through JSON: no text in
//!   an argument can become an entity or an extension value. A value that does not fit the plan is an error,
//!   which denies.

mod cedar;
pub mod plan;
pub mod shape;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use cedar_policy_core::validator::ValidatorSchema;
use refmon_core::contract::Contract;
use refmon_core::json::Json;

pub use plan::{Misfit, Plan};
pub use shape::Shape;

/// The namespace of every entity type and action.
pub const NAMESPACE: &str = "Refmon";

/// Something of an argument that policy cannot see.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Invisible {
    /// The action.
    pub action: String,
    /// The attribute that does not exist, such as `args.options`.
    pub attribute: String,
    /// Why.
    pub reason: String,
}

impl std::fmt::Display for Invisible {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "policy cannot see `{}` of {}: {}", self.attribute, self.action, self.reason)
    }
}

/// Why contracts have no Cedar schema.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CompileError {
    /// Two operations would have one action.
    #[error("two contracts have the action `{0}`; rename one of the servers")]
    Collision(String),
    /// Cedar refuses the schema.
    #[error("the policy schema could not be built: {0}")]
    Schema(String),
}

/// Contracts, compiled.
#[derive(Debug)]
pub struct Compiled {
    plans: Vec<Arc<Plan>>,
    by_action: HashMap<String, usize>,
    schema: ValidatorSchema,
    invisible: Vec<Invisible>,
}

impl Compiled {
    /// The plan of an action, and its index.
    #[must_use]
    pub fn plan(&self, action: &str) -> Option<(usize, &Arc<Plan>)> {
        let index = *self.by_action.get(action)?;
        self.plans.get(index).map(|plan| (index, plan))
    }

    /// All plans, in the order of their actions.
    #[must_use]
    pub fn plans(&self) -> &[Arc<Plan>] {
        &self.plans
    }

    /// The Cedar schema of all actions.
    #[must_use]
    pub const fn schema(&self) -> &ValidatorSchema {
        &self.schema
    }

    /// The Cedar schema of some actions only. What is valid for these and matches no others is valid for all.
    ///
    /// # Errors
    /// If Cedar refuses the schema.
    pub fn schema_of(&self, actions: &[usize]) -> Result<ValidatorSchema, CompileError> {
        cedar::schema(actions.iter().filter_map(|index| self.plans.get(*index)))
    }

    /// What policy cannot see.
    #[must_use]
    pub fn invisible(&self) -> &[Invisible] {
        &self.invisible
    }

    /// The schema as Cedar text, for people who write policies.
    #[must_use]
    pub fn text(&self) -> String {
        cedar::text(&self.plans)
    }
}

/// Compiles contracts, each with the `inputSchema` of its pinned definition if it has one.
///
/// # Errors
/// [`CompileError`] if two operations have one action or Cedar refuses the schema.
pub fn compile<'a, 'j: 'a>(
    contracts: impl IntoIterator<Item = (&'a Contract, Option<&'a Json<'j>>)>,
) -> Result<Compiled, CompileError> {
    let mut plans: BTreeMap<String, Plan> = BTreeMap::new();
    let mut invisible = Vec::new();
    for (contract, schema) in contracts {
        let action = contract.action();
        let (arguments, hidden) = shape::arguments(schema);
        invisible.extend(hidden.into_iter().map(|hidden| Invisible {
            action: action.clone(),
            attribute: hidden.attribute,
            reason: hidden.reason,
        }));
        let plan = Plan::new(contract, arguments);
        if plans.insert(action.clone(), plan).is_some() {
            return Err(CompileError::Collision(action));
        }
    }
    let by_action = plans.keys().enumerate().map(|(index, action)| (action.clone(), index)).collect();
    let plans: Vec<Arc<Plan>> = plans.into_values().map(Arc::new).collect();
    let schema = cedar::schema(&plans)?;
    Ok(Compiled { plans, by_action, schema, invisible })
}

#[cfg(test)]
mod tests;
