// Attack: a store is asked for the rows of another tenant.
use refmon_core::ids::{HoldId, TenantId};
use refmon_core::ports::Moment;
use refmon_store::TenantStore;

fn peek(store: &TenantStore<'_>, tenant: &TenantId, id: HoldId) {
    drop(store.hold(tenant, id, Moment::default()));
}

fn main() {}
