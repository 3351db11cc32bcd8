// Attack: a secret gets a copy that nobody wipes.
use refmon_core::secret::Secret;

fn copy(secret: &Secret<String>) -> Secret<String> {
    <Secret<String> as Clone>::clone(secret)
}

fn main() {}
