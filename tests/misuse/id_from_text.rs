// Attack: an identifier is made of text that was never parsed.
use refmon_core::ids::TenantId;

fn tenant() -> TenantId {
    TenantId("".into())
}

fn main() {}
