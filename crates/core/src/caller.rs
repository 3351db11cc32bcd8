//! Who asks.

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
        }
    }
}

/// An authenticated caller: tenant, user, agent and scopes.
///
/// There is no anonymous and no empty caller: each part is an identifier that has been parsed, and none has a
/// default. A door makes the value from a credential, never from a body or a header that an agent controls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    kind: IdentityKind,
    tenant: TenantId,
    user: UserId,
    agent: AgentId,
    scopes: Box<[Scope]>,
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
        Self { kind, tenant, user, agent, scopes: scopes.into() }
    }

    /// The same caller with what a person has given beside it for a time.
    #[must_use]
    pub fn with_grants(&self, grants: &[ScopeGrant]) -> Self {
        let own = self.clone();
        let scopes = own.scopes.into_iter().chain(grants.iter().flat_map(|grant| grant.scopes.iter().cloned()));
        Self::authenticated(own.kind, own.tenant, own.user, own.agent, scopes)
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
