// Attack: a secret is written to a log.
use refmon_core::secret::Secret;

fn print(secret: &Secret<String>) -> String {
    format!("{secret}")
}

fn main() {}
