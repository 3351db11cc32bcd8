// Attack: an approval is called verified that nobody gave.
use refmon_core::decision::Grants;
use refmon_core::ids::ApprovalKind;

fn grant(kind: ApprovalKind) -> Grants {
    Grants::verified(vec![kind])
}

fn main() {}
