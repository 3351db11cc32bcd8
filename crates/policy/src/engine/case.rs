//! One question, from its context to the policies that apply.

use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use cedar_policy_core::ast::{Context, EntityUIDEntry, Expr, Literal, Request, SlotEnv, Value, ValueKind};
use cedar_policy_core::evaluator::Evaluator;
use cedar_policy_core::extensions::Extensions;

use super::quick::Attributed;
use super::world::World;
use super::{Engine, Evaluation};
use crate::compile::Plan;
use crate::compile::plan::{Attributes, texts};
use crate::rule::Rule;

/// One question, ready to be evaluated.
#[derive(Debug)]
pub(crate) struct Case<'e> {
    pub(super) engine: &'e Engine,
    pub(super) world: Arc<World>,
    pub(super) plan: &'e Plan,
    pub(super) base: Attributes,
}

impl<'e> Case<'e> {
    /// The context with these tokens granted.
    pub(crate) fn context(&self, granted: &BTreeSet<String>) -> Context {
        let mut attributes = self.base.clone();
        attributes.insert("granted".into(), texts(granted.iter().map(String::as_str)));
        Context::Value(Arc::new(attributes))
    }

    pub(crate) fn evaluator(&self, context: &Context) -> Evaluator<'_> {
        let known = |uid: &Arc<_>| EntityUIDEntry::Known { euid: Arc::clone(uid), loc: None };
        let world = &self.world;
        // Not checked against the schema here: the plan was made from the same contracts, and the self-check
        // lets Cedar check a sample.
        let request = Request::new_unchecked(
            known(&world.principal),
            known(&world.action),
            known(&world.resource),
            Some(context.clone()),
        );
        Evaluator::new(request, &world.entities, Extensions::all_available())
    }

    /// The policies in scope, with their numbers.
    pub(crate) fn in_scope(&self) -> impl Iterator<Item = (u32, &'e Rule)> {
        let engine = self.engine;
        self.world.rules.iter().filter_map(|number| Some((*number, engine.rules.get(*number as usize)?)))
    }

    /// Evaluates every policy in scope. After an earlier evaluation, only what reads `granted` again.
    pub(super) fn evaluate(&self, context: &Context, before: Option<&Evaluation>) -> Evaluation {
        let evaluator = OnceCell::new();
        let mut found = Evaluation::default();
        let mut evaluated = 0u64;
        for (number, rule) in self.in_scope() {
            let list = if rule.is_permit() { &mut found.permits } else { &mut found.forbids };
            if let Some(before) = before.filter(|_| !rule.depends_on_grants()) {
                let earlier = if rule.is_permit() { &before.permits } else { &before.forbids };
                if earlier.contains(&number) {
                    list.push(number);
                }
                continue;
            }
            evaluated += 1;
            let quick = self.quick(number, context);
            match quick.or_else(|| holds(evaluator.get_or_init(|| self.evaluator(context)), rule.body())) {
                Some(true) => list.push(number),
                Some(false) => {}
                None => found.errors.push(number),
            }
        }
        self.engine.evaluations.fetch_add(evaluated, Ordering::Relaxed);
        found
    }

    /// Whether a condition holds, if that can be told without Cedar's interpreter.
    fn quick(&self, number: u32, context: &Context) -> Option<bool> {
        let Context::Value(attributes) = context else { return None };
        let attributes = Attributed { context: attributes, principal: &self.world.principal_attributes };
        self.engine.quick.get(number as usize)?.holds(attributes)
    }

    /// The conditional forbids that would apply without these tokens.
    pub(super) fn satisfied_by(&self, granted: &BTreeSet<String>) -> Result<Vec<u32>, u32> {
        if granted.is_empty() {
            return Ok(Vec::new());
        }
        let context = self.context(&BTreeSet::new());
        let evaluator = self.evaluator(&context);
        let mut satisfied = Vec::new();
        for (number, rule) in self.in_scope() {
            if rule.demand().is_some_and(|demand| granted.contains(&demand.token())) {
                match holds(&evaluator, rule.body()) {
                    Some(true) => satisfied.push(number),
                    Some(false) => {}
                    None => return Err(number),
                }
            }
        }
        Ok(satisfied)
    }
}

/// Whether a condition holds; `None` if it cannot be evaluated.
pub(crate) fn holds(evaluator: &Evaluator<'_>, body: Option<&Expr>) -> Option<bool> {
    let Some(body) = body else { return Some(true) };
    match evaluator.interpret(body, &SlotEnv::new()) {
        Ok(Value { value: ValueKind::Lit(Literal::Bool(value)), .. }) => Some(value),
        Ok(_) | Err(_) => None,
    }
}
