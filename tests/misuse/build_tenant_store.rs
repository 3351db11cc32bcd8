// Attack: a tenant's rows are reached without its caller.
use refmon_core::ids::TenantId;
use refmon_store::{Stores, TenantStore};

fn open(stores: &Stores, tenant: TenantId) -> TenantStore<'_> {
    TenantStore { stores, tenant }
}

fn main() {}
