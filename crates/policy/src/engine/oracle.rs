//! The stock authorizer, as an oracle.
//!
//! It scans every policy, conditions and scopes alike, over entities and a request that Cedar itself has checked
//! against the schema. Tests compare it with the engine over many worlds; at run time a sample of decisions is
//! compared, and a difference makes the engine unhealthy.

use std::collections::BTreeSet;

use cedar_policy_core::ast::{Context, PolicySet, Request};
use cedar_policy_core::authorizer::{AuthorizationError, Authorizer, Decision};
use cedar_policy_core::entities::{Entities, TCComputation};
use cedar_policy_core::extensions::Extensions;
use cedar_policy_core::validator::CoreSchema;
use refmon_core::caller::Caller;

use super::fixpoint::Evaluation;
use super::world::{Names, World, people};
use super::{Engine, EngineError};
use crate::compile::{Compiled, Plan};
use crate::rule::Rule;

/// All policies, for the stock authorizer.
#[derive(Debug)]
pub(super) struct Oracle {
    policies: PolicySet,
    authorizer: Authorizer,
}

impl Oracle {
    pub(super) fn new(rules: &[Rule]) -> Result<Self, EngineError> {
        let mut policies = PolicySet::new();
        for rule in rules {
            policies.add(rule.policy().clone()).map_err(|error| EngineError::Schema(error.to_string()))?;
        }
        Ok(Self { policies, authorizer: Authorizer::new() })
    }

    /// Whether the stock authorizer agrees with an evaluation. What cannot be asked is a disagreement.
    pub(super) fn agrees(
        &self,
        engine: &Engine,
        world: &World,
        caller: &Caller,
        plan: &Plan,
        context: &Context,
        found: &Evaluation,
    ) -> bool {
        let Some(answer) = self.ask(&engine.compiled, &engine.names, world, caller, plan, context) else {
            return false;
        };
        let ids = |numbers: &[u32]| -> BTreeSet<String> {
            numbers
                .iter()
                .filter_map(|number| engine.rules.get(*number as usize))
                .map(|rule| rule.id().to_string())
                .collect()
        };
        let permitted = !found.permits.is_empty() && found.forbids.is_empty();
        let reasons = if permitted { ids(&found.permits) } else { ids(&found.forbids) };
        answer == Answer { permitted, reasons, errors: ids(&found.errors) }
    }

    fn ask(
        &self,
        compiled: &Compiled,
        names: &Names,
        world: &World,
        caller: &Caller,
        plan: &Plan,
        context: &Context,
    ) -> Option<Answer> {
        let extensions = Extensions::all_available();
        let schema = compiled.schema();
        let entities = Entities::from_entities(
            people(names, caller, plan.server()),
            Some(&CoreSchema::new(schema)),
            TCComputation::ComputeNow,
            extensions,
        );
        let request = Request::new(
            (world.principal.as_ref().clone(), None),
            (world.action.as_ref().clone(), None),
            (world.resource.as_ref().clone(), None),
            context.clone(),
            Some(schema),
            extensions,
        );
        let response = self.authorizer.is_authorized(request.ok()?, &self.policies, &entities.ok()?);
        Some(Answer {
            permitted: response.decision == Decision::Allow,
            reasons: response.diagnostics.reason.iter().map(ToString::to_string).collect(),
            errors: response
                .diagnostics
                .errors
                .iter()
                .map(|AuthorizationError::PolicyEvaluationError { id, .. }| id.to_string())
                .collect(),
        })
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Answer {
    permitted: bool,
    reasons: BTreeSet<String>,
    errors: BTreeSet<String>,
}
