//! Callers as entities.
//!
//! The entities of a call are its agent (the principal), the agent's user and tenant, the server (the resource)
//! and the action with its groups; nothing else exists. They depend on the caller and the action alone and are
//! kept, so that a decision starts from data that is ready.
//!
//! Names: a tenant and a server are named as they are. An agent and a user are named `tenant/agent` and
//! `tenant/user`, so that a policy about one tenant's agent can never match another tenant's agent of the same
//! name. `%` and `/` in the tenant are written `%25` and `%2F`: the first `/` always ends the tenant.

use std::collections::hash_map::RandomState;
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher as _, Hash as _, Hasher as _};
use std::sync::{Arc, PoisonError, RwLock};

use cedar_policy_core::ast::{Eid, Entity, EntityType, EntityUID, Name, PartialValue};
use cedar_policy_core::entities::{Entities, NoEntitiesSchema, TCComputation};
use cedar_policy_core::extensions::Extensions;
use refmon_core::caller::Caller;

use super::EngineError;
use super::index::Index;
use crate::compile::plan::{self, Attributes};
use crate::compile::{NAMESPACE, Plan};
use crate::rule::Rule;

/// Worlds that are kept. When there are more, all are forgotten and made again.
const WORLDS_MAX: usize = 8_192;

/// The entity types, parsed once.
#[derive(Debug)]
pub(crate) struct Names {
    tenant: EntityType,
    user: EntityType,
    agent: EntityType,
    server: EntityType,
    action: EntityType,
}

impl Names {
    pub(crate) fn new() -> Result<Self, EngineError> {
        let kind = |name: &str| {
            let parsed = format!("{NAMESPACE}::{name}").parse::<Name>();
            parsed.map(EntityType::from).map_err(|error| EngineError::Schema(error.to_string()))
        };
        Ok(Self {
            tenant: kind("Tenant")?,
            user: kind("User")?,
            agent: kind("Agent")?,
            server: kind("Server")?,
            action: kind("Action")?,
        })
    }

    pub(crate) fn action(&self, action: &str) -> EntityUID {
        uid(&self.action, action)
    }

    pub(crate) fn server(&self, server: &str) -> EntityUID {
        uid(&self.server, server)
    }

    fn tenant(&self, caller: &Caller) -> EntityUID {
        uid(&self.tenant, caller.tenant().as_str())
    }
}

fn uid(kind: &EntityType, name: &str) -> EntityUID {
    EntityUID::from_components(kind.clone(), Eid::new(name), None)
}

/// The name of something of a tenant: see the module.
fn within(caller: &Caller, name: &str) -> String {
    let tenant = caller.tenant().as_str().replace('%', "%25").replace('/', "%2F");
    format!("{tenant}/{name}")
}

/// What a decision starts from: the entities of one caller and one action, and the policies in scope.
#[derive(Debug)]
pub(super) struct World {
    caller: Caller,
    pub(super) principal: Arc<EntityUID>,
    pub(super) principal_attributes: Attributes,
    pub(super) action: Arc<EntityUID>,
    pub(super) resource: Arc<EntityUID>,
    pub(super) entities: Entities,
    pub(super) rules: Vec<u32>,
}

impl World {
    pub(super) fn new(
        names: &Names,
        index: &Index,
        rules: &[Rule],
        caller: &Caller,
        action: usize,
        plan: &Plan,
    ) -> Result<Self, EngineError> {
        let [agent, user, tenant, server] = people(names, caller, plan.server());
        let action_entity = index.action(action).cloned().ok_or(EngineError::TooMany)?;
        let found = index.in_scope(action, &agent, &server, rules);
        let ids = [&agent, &action_entity, &server].map(|entity| Arc::new(entity.uid().clone()));
        let [principal, action_id, resource] = ids;
        let attributes = agent.attrs().filter_map(|(name, value)| match value {
            PartialValue::Value(value) => Some((name.clone(), value.clone())),
            PartialValue::Residual(_) => None,
        });
        let principal_attributes = attributes.collect();
        let mut seen = HashSet::from([action_entity.uid().clone()]);
        let named = index.named().iter().filter(|entity| seen.insert(entity.uid().clone())).cloned();
        let all: Vec<Entity> = [agent, user, tenant, server, action_entity].into_iter().chain(named).collect();
        let entities = Entities::from_entities(
            all,
            None::<&NoEntitiesSchema>,
            // INVARIANT: every entity above has all its ancestors; actions bring theirs from the schema.
            TCComputation::AssumeAlreadyComputed,
            Extensions::all_available(),
        );
        Ok(Self {
            caller: caller.clone(),
            principal,
            principal_attributes,
            action: action_id,
            resource,
            entities: entities.map_err(|error| EngineError::Schema(error.to_string()))?,
            rules: found,
        })
    }
}

/// The agent, its user, the tenant and the server.
pub(super) fn people(names: &Names, caller: &Caller, server: &str) -> [Entity; 4] {
    let tenant = names.tenant(caller);
    let user = uid(&names.user, &within(caller, caller.user().as_str()));
    let agent = uid(&names.agent, &within(caller, caller.agent().as_str()));
    let attributes = [
        ("user".into(), plan::entity(&Arc::new(user.clone()))),
        ("tenant".into(), plan::entity(&Arc::new(tenant.clone()))),
        ("scopes".into(), plan::texts(caller.scopes().iter().map(|scope| scope.as_str()))),
        ("identity".into(), caller.kind().as_str().into()),
    ];
    let entity = |uid: EntityUID, parents: HashSet<EntityUID>| {
        Entity::new_with_attr_partial_value(uid, [], HashSet::new(), parents, [])
    };
    let below = || HashSet::from([tenant.clone()]);
    [
        Entity::new_with_attr_partial_value(
            agent,
            attributes.map(|(name, value)| (name, PartialValue::Value(value))),
            HashSet::new(),
            below(),
            [],
        ),
        entity(user, below()),
        entity(tenant.clone(), HashSet::new()),
        entity(names.server(server), below()),
    ]
}

/// Worlds that were made before.
#[derive(Debug, Default)]
pub(super) struct Worlds {
    hasher: RandomState,
    kept: RwLock<HashMap<(u64, usize), Arc<World>>>,
}

impl Worlds {
    /// Finds the world of a caller and an action, or makes it.
    pub(super) fn of(
        &self,
        caller: &Caller,
        action: usize,
        make: impl FnOnce() -> Result<World, EngineError>,
    ) -> Result<Arc<World>, EngineError> {
        let key = (self.key(caller), action);
        let found = self.kept.read().unwrap_or_else(PoisonError::into_inner).get(&key).map(Arc::clone);
        // The key is a hash: the caller itself is compared as well.
        if let Some(world) = found.filter(|world| world.caller == *caller) {
            return Ok(world);
        }
        let world = Arc::new(make()?);
        let mut kept = self.kept.write().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= WORLDS_MAX {
            kept.clear();
        }
        kept.insert(key, Arc::clone(&world));
        Ok(world)
    }

    fn key(&self, caller: &Caller) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        caller.kind().hash(&mut hasher);
        caller.tenant().hash(&mut hasher);
        caller.user().hash(&mut hasher);
        caller.agent().hash(&mut hasher);
        caller.scopes().hash(&mut hasher);
        hasher.finish()
    }
}
