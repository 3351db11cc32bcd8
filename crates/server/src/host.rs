//! Hosts: callers that may name others.

use std::sync::Arc;

use refmon_core::caller::Caller;
use refmon_core::ids::{AgentId, Scope, UserId};

use crate::problem::Problem;

/// The scope that naming others needs.
pub const SCOPE: &str = "refmon:decide";
/// What scopes for refmon itself begin with. They are never passed on.
const OWN: &str = "refmon:";

/// A caller of which it is known that it may name others: the only way to a [`Caller`] of another name.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Host<'c>(&'c Arc<Caller>);

/// Who is named, as far as it can be told.
#[derive(Debug)]
pub(crate) struct Named<'a> {
    /// The type of the subject.
    pub(crate) kind: &'a str,
    /// The user.
    pub(crate) id: &'a str,
    /// The agent; the host's own if there is none.
    pub(crate) agent: Option<&'a str>,
    /// The scopes that somebody says it has; those of the host if nobody says any.
    pub(crate) scopes: Option<Vec<Scope>>,
}

impl<'c> Host<'c> {
    /// Checks that a caller may name others.
    ///
    /// # Errors
    /// [`Problem::NotAHost`] if it may not.
    pub(crate) fn of(caller: &'c Arc<Caller>) -> Result<Self, Problem> {
        let holds = caller.scopes().iter().any(|scope| scope.as_str() == SCOPE);
        if holds { Ok(Self(caller)) } else { Err(Problem::NotAHost) }
    }

    /// The host itself.
    pub(crate) const fn caller(self) -> &'c Arc<Caller> {
        self.0
    }

    /// The caller that the host names: of its own tenant, and with nothing that the host lacks. `None` if the subject is not
    /// of a kind that is known, or its name is no identifier.
    pub(crate) fn name(self, named: Named<'_>) -> Option<Caller> {
        if !matches!(named.kind, "user" | "identity") {
            return None;
        }
        let user = UserId::parse(named.id).ok()?;
        let agent = named.agent.map_or_else(|| Ok(self.0.agent().clone()), AgentId::parse).ok()?;
        let scopes = named.scopes.unwrap_or_else(|| self.0.scopes().to_vec());
        let scopes = scopes.into_iter().filter(|scope| !scope.as_str().starts_with(OWN));
        Some(Caller::asserted(self.0, user, agent, scopes))
    }
}

#[cfg(test)]
mod tests {
    use refmon_core::caller::IdentityKind;
    use refmon_core::ids::TenantId;

    use super::*;

    fn caller(scopes: &[&str]) -> Arc<Caller> {
        let scopes = scopes.iter().map(|scope| Scope::parse(scope).unwrap());
        let (tenant, user) = (TenantId::parse("acme").unwrap(), UserId::parse("shop").unwrap());
        let agent = AgentId::parse("web").unwrap();
        Arc::new(Caller::authenticated(IdentityKind::ApiKey, tenant, user, agent, scopes))
    }

    #[test]
    fn only_who_holds_the_scope_names_others_and_passes_on_nothing_of_refmons_own() {
        assert_eq!(Host::of(&caller(&["a", "refmon:halt"])).unwrap_err(), Problem::NotAHost);
        let own = caller(&["a", "b", "refmon:decide", "refmon:halt"]);
        let host = Host::of(&own).unwrap();
        let named = |kind, agent, scopes: Option<&[&str]>| {
            let scopes = scopes.map(|names| names.iter().map(|name| Scope::parse(name).unwrap()).collect());
            host.name(Named { kind, id: "ada", agent, scopes })
        };
        let scopes = |caller: Caller| caller.scopes().iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        assert_eq!(scopes(named("user", None, None).unwrap()), "a b");
        assert_eq!(scopes(named("identity", None, Some(&["b", "c", "refmon:halt"])).unwrap()), "b");
        assert_eq!(scopes(named("user", None, Some(&[])).unwrap()), "");
        assert_eq!(named("user", Some("bot"), None).unwrap().agent().as_str(), "bot");
        assert_eq!(named("user", None, None).unwrap().agent().as_str(), "web");
        assert!(named("spaceship", None, None).is_none() && named("user", Some("a b"), None).is_none());
    }
}
