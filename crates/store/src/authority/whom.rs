//! Whom a limit is about.

use refmon_core::caller::Caller;
use refmon_core::ids::{AgentId, TenantId, UserId};

/// Callers, by what is given; whoever has all of it is meant, and without anything everyone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Whom {
    /// The tenant.
    pub tenant: Option<TenantId>,
    /// The agent.
    pub agent: Option<AgentId>,
    /// The person.
    pub user: Option<UserId>,
}

impl Whom {
    /// Whether the caller is meant.
    #[must_use]
    pub fn includes(&self, caller: &Caller) -> bool {
        self.tenant.as_ref().is_none_or(|tenant| tenant == caller.tenant())
            && self.agent.as_ref().is_none_or(|agent| agent == caller.agent())
            && self.user.as_ref().is_none_or(|user| user == caller.user())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_is_given_must_match_and_nothing_means_everyone() {
        let [tenant, agent, user] = ["t", "a", "u"];
        let (tenant, agent) = (TenantId::parse(tenant).unwrap(), AgentId::parse(agent).unwrap());
        let caller = Caller::local(tenant.clone(), UserId::parse(user).unwrap(), agent.clone(), []);
        assert!(Whom::default().includes(&caller));
        let both = Whom { tenant: Some(tenant.clone()), agent: Some(agent), user: None };
        assert!(both.includes(&caller));
        let other = UserId::parse("v").unwrap();
        assert!(!Whom { user: Some(other), ..both }.includes(&caller));
        let other = AgentId::parse("b").unwrap();
        assert!(!Whom { tenant: Some(tenant), agent: Some(other), user: None }.includes(&caller));
    }
}
