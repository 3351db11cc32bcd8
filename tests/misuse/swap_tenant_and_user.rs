// Attack: a user's name is taken for the tenant's.
use refmon_core::caller::Caller;
use refmon_core::ids::{AgentId, TenantId, UserId};

fn swap(tenant: TenantId, user: UserId, agent: AgentId) -> Caller {
    Caller::local(user, tenant, agent, [])
}

fn main() {}
