//! Who asks.

use std::sync::Arc;

use crate::ids::{AgentId, Scope, TenantId, UserId};
use crate::ports::ScopeGrant;

/// How a caller was authenticated. Every record says which.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum IdentityKind {
    /// The person at this machine: over this process's own standard input, or over loopback.
    Local,
    /// An API key that the operator issued.
    ApiKey,
    /// An access token of an OpenID provider (RFC 9068).
    Token,
    /// A client certificate (mutual TLS, RFC 8446).
    Certificate,
    /// Named by another caller, a host with a credential of its own.
    Asserted,
}

impl IdentityKind {
    /// The kind's name in records and output.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::ApiKey => "api-key",
            Self::Token => "token",
            Self::Certificate => "certificate",
            Self::Asserted => "asserted",
        }
    }
}

/// An authenticated caller: tenant, user, agent and scopes.
///
/// There is no anonymous and no empty caller: each part is an identifier that has been parsed, and none has a
/// default. A door makes the value from a credential, never from a body or a header that an agent controls. A host that may
/// name others names them in its own tenant and with no more than its own scopes ([`Caller::asserted`]).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    kind: IdentityKind,
    tenant: TenantId,
    user: UserId,
    agent: AgentId,
    scopes: Box<[Scope]>,
    asserted_by: Option<Arc<Self>>,
}

impl Caller {
    /// The caller behind this process's own standard input or a loopback address.
    ///
    /// A door that others can reach must not use it: the operating system's login is the credential here.
    #[must_use]
    pub fn local(tenant: TenantId, user: UserId, agent: AgentId, scopes: impl IntoIterator<Item = Scope>) -> Self {
        Self::authenticated(IdentityKind::Local, tenant, user, agent, scopes)
    }

    /// The caller that a credential names, by whoever has verified that credential. The kind says how.
    #[must_use]
    pub fn authenticated(
        kind: IdentityKind,
        tenant: TenantId,
        user: UserId,
        agent: AgentId,
        scopes: impl IntoIterator<Item = Scope>,
    ) -> Self {
        let mut scopes: Vec<Scope> = scopes.into_iter().collect();
        scopes.sort();
        scopes.dedup();
        Self { kind, tenant, user, agent, scopes: scopes.into(), asserted_by: None }
    }

    /// The caller that a host names.
    ///
    /// The tenant is the host's, and of the scopes only those count that the host holds itself, so a host can give nothing
    /// that it does not have. Whether the host may name anybody is the door's to check.
    #[must_use]
    pub fn asserted(host: &Arc<Self>, user: UserId, agent: AgentId, scopes: impl IntoIterator<Item = Scope>) -> Self {
        let scopes = scopes.into_iter().filter(|scope| host.holds(scope));
        let caller = Self::authenticated(IdentityKind::Asserted, host.tenant.clone(), user, agent, scopes);
        Self { asserted_by: Some(Arc::clone(host)), ..caller }
    }

    /// Who named this caller; `None` if it brought a credential of its own.
    #[must_use]
    pub fn asserted_by(&self) -> Option<&Self> {
        self.asserted_by.as_deref()
    }

    /// The same caller with what a person has given beside it for a time. A caller that a host names gets of it what the
    /// host holds, too.
    #[must_use]
    pub fn with_grants(&self, grants: &[ScopeGrant]) -> Self {
        let own = self.clone();
        let given = grants.iter().flat_map(|grant| grant.scopes.iter().cloned());
        let host = own.asserted_by;
        let given = given.filter(|scope| host.as_ref().is_none_or(|host| host.holds(scope)));
        let caller =
            Self::authenticated(own.kind, own.tenant, own.user, own.agent, own.scopes.into_iter().chain(given));
        Self { asserted_by: host, ..caller }
    }

    /// How the caller was authenticated.
    #[must_use]
    pub const fn kind(&self) -> IdentityKind {
        self.kind
    }

    /// The tenant.
    #[must_use]
    pub const fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// The person.
    #[must_use]
    pub const fn user(&self) -> &UserId {
        &self.user
    }

    /// The agent.
    #[must_use]
    pub const fn agent(&self) -> &AgentId {
        &self.agent
    }

    /// The scopes, sorted, without repetition.
    #[must_use]
    pub const fn scopes(&self) -> &[Scope] {
        &self.scopes
    }

    /// Whether the caller holds a scope.
    #[must_use]
    pub fn holds(&self, scope: &Scope) -> bool {
        self.scopes.binary_search(scope).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::GrantId;

    fn scopes(names: &[&str]) -> Vec<Scope> {
        names.iter().map(|name| Scope::parse(name).unwrap()).collect()
    }

    #[test]
    fn a_host_gives_its_own_tenant_and_no_scope_that_it_lacks() {
        let (tenant, user) = (TenantId::parse("acme").unwrap(), UserId::parse("host").unwrap());
        let agent = AgentId::parse("shop").unwrap();
        let host = Caller::authenticated(IdentityKind::ApiKey, tenant, user, agent.clone(), scopes(&["a", "b"]));
        let host = Arc::new(host);
        let named = Caller::asserted(&host, UserId::parse("ada").unwrap(), agent, scopes(&["b", "c"]));
        assert_eq!((named.tenant(), named.kind()), (host.tenant(), IdentityKind::Asserted));
        assert_eq!((named.scopes(), named.asserted_by()), (&scopes(&["b"])[..], Some(host.as_ref())));

        let grant = ScopeGrant { id: GrantId::from_bytes([1; 16]), scopes: scopes(&["a", "c"]) };
        let given = named.with_grants(&[grant]);
        assert_eq!((given.scopes(), given.asserted_by()), (&scopes(&["a", "b"])[..], Some(host.as_ref())));
    }
}
