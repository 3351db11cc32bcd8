// Attack: a tenant's rows are reached by its name, not by its caller.
use refmon_core::ids::TenantId;
use refmon_store::{Stores, TenantStore};

fn open<'a>(stores: &'a Stores, tenant: &TenantId) -> TenantStore<'a> {
    stores.of(tenant)
}

fn main() {}
