//! Which policies are in scope: found by action and principal, never by a scan.
//!
//! For every action the index lists the policies whose action constraint it meets, closed over the groups of the
//! schema. Those that name a principal are kept apart by that entity. What is found is then checked against the
//! whole scope here, natively, so that only conditions are left to Cedar.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use cedar_policy_core::ast::{
    ActionConstraint, Entity, EntityReference, EntityUID, ExprKind, Literal,
    PrincipalOrResourceConstraint as Constraint,
};
use cedar_policy_core::entities::Dereference;

use super::EngineError;
use crate::compile::Compiled;
use crate::engine::world::Names;
use crate::rule::Rule;

/// The policies of each action.
#[derive(Debug)]
pub(super) struct Index {
    actions: Vec<Slot>,
    /// Actions that conditions name: their entities must exist in every world.
    named: Vec<Entity>,
}

#[derive(Debug)]
struct Slot {
    entity: Entity,
    anyone: Vec<u32>,
    by_principal: HashMap<EntityUID, Vec<u32>>,
}

impl Index {
    pub(super) fn new(compiled: &Compiled, names: &Names, rules: &[Rule]) -> Result<Self, EngineError> {
        // The closure over groups comes from the schema that the policies were checked against.
        let (members, entities) = Members::new(compiled, names)?;
        let slot = |entity| Slot { entity, anyone: Vec::new(), by_principal: HashMap::new() };
        let mut actions: Vec<Slot> = entities.into_iter().map(slot).collect();
        for (number, rule) in rules.iter().enumerate() {
            let number = u32::try_from(number).map_err(|_| EngineError::TooMany)?;
            let principal = rule.policy().principal_constraint().as_inner().get_euid().cloned();
            for index in members.matching(rule.policy().action_constraint()) {
                let Some(slot) = actions.get_mut(index) else { continue };
                match &principal {
                    None => slot.anyone.push(number),
                    Some(uid) => slot.by_principal.entry(uid.as_ref().clone()).or_default().push(number),
                }
            }
        }
        let named: BTreeSet<&EntityUID> = rules.iter().filter_map(Rule::body).flat_map(named_actions).collect();
        let groups = compiled.schema().action_entities().map_err(|error| EngineError::Schema(error.to_string()))?;
        let find = |uid: &EntityUID| match groups.entity(uid) {
            Dereference::Data(entity) => Some(entity.clone()),
            Dereference::NoSuchEntity | Dereference::Residual(_) => None,
        };
        Ok(Self { actions, named: named.into_iter().filter_map(find).collect() })
    }

    /// The entity of an action, with its ancestors.
    pub(super) fn action(&self, index: usize) -> Option<&Entity> {
        self.actions.get(index).map(|slot| &slot.entity)
    }

    /// The entities of actions that conditions name.
    pub(super) fn named(&self) -> &[Entity] {
        &self.named
    }

    /// The policies whose whole scope matches, in order.
    pub(super) fn in_scope(&self, action: usize, principal: &Entity, resource: &Entity, rules: &[Rule]) -> Vec<u32> {
        let Some(slot) = self.actions.get(action) else { return Vec::new() };
        let named = std::iter::once(principal.uid()).chain(principal.ancestors());
        let mut found: Vec<u32> =
            named.filter_map(|uid| slot.by_principal.get(uid)).flatten().chain(&slot.anyone).copied().collect();
        found.retain(|number| {
            rules.get(*number as usize).is_some_and(|rule| {
                meets(rule.policy().principal_constraint().as_inner(), principal)
                    && meets(rule.policy().resource_constraint().as_inner(), resource)
            })
        });
        found.sort_unstable();
        found
    }
}

/// The actions that calls have, by themselves and by group (each in its own as well, as Cedar's `in` has it).
#[derive(Debug, Default)]
pub(crate) struct Members {
    all: usize,
    exact: HashMap<EntityUID, usize>,
    groups: HashMap<EntityUID, Vec<usize>>,
}

impl Members {
    /// Collects the actions of all plans, closed over the groups of the schema.
    pub(crate) fn new(compiled: &Compiled, names: &Names) -> Result<(Self, Vec<Entity>), EngineError> {
        let entities = compiled.schema().action_entities().map_err(|error| EngineError::Schema(error.to_string()))?;
        let mut members = Self::default();
        let mut found = Vec::new();
        for (index, plan) in compiled.plans().iter().enumerate() {
            let uid = names.action(plan.action());
            let Dereference::Data(entity) = entities.entity(&uid) else {
                return Err(EngineError::Schema(format!("the action `{}` is not in the schema", plan.action())));
            };
            for group in entity.ancestors().chain([&uid]) {
                members.groups.entry(group.clone()).or_default().push(index);
            }
            members.exact.insert(uid, index);
            found.push(entity.clone());
        }
        members.all = found.len();
        Ok((members, found))
    }

    /// The actions that a constraint matches.
    pub(crate) fn matching(&self, constraint: &ActionConstraint) -> BTreeSet<usize> {
        match constraint {
            ActionConstraint::Any => (0..self.all).collect(),
            ActionConstraint::In(groups) => {
                groups.iter().filter_map(|group| self.groups.get(group.as_ref())).flatten().copied().collect()
            }
            // A group is an action too, but no call has it.
            ActionConstraint::Eq(uid) => self.exact.get(uid.as_ref()).copied().into_iter().collect(),
        }
    }
}

/// Whether an entity meets a constraint of the scope.
pub(crate) fn meets(constraint: &Constraint, entity: &Entity) -> bool {
    let within = |reference: &EntityReference| match reference {
        EntityReference::EUID(uid) => entity.uid() == uid.as_ref() || entity.is_descendant_of(uid),
        EntityReference::Slot(_) => false,
    };
    match constraint {
        Constraint::Any => true,
        Constraint::Eq(EntityReference::EUID(uid)) => entity.uid() == uid.as_ref(),
        Constraint::Eq(EntityReference::Slot(_)) => false,
        Constraint::In(reference) => within(reference),
        Constraint::Is(kind) => entity.uid().entity_type() == kind.as_ref(),
        Constraint::IsIn(kind, reference) => entity.uid().entity_type() == kind.as_ref() && within(reference),
    }
}

fn named_actions(body: &cedar_policy_core::ast::Expr) -> impl Iterator<Item = &EntityUID> {
    body.subexpressions().filter_map(|expr| match expr.expr_kind() {
        ExprKind::Lit(Literal::EntityUID(uid)) if uid.is_action() => Some(Arc::as_ref(uid)),
        _ => None,
    })
}
