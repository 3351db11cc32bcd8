// Attack: a store is asked for the rows of another tenant.
use refmon_core::ids::{HoldId, TenantId};
use refmon_core::ports::Moment;
use refmon_store::desk::Desk;

fn peek(desk: &Desk<'_>, tenant: &TenantId, id: HoldId) {
    drop(desk.find(tenant, id, Moment::default()));
}

fn main() {}
