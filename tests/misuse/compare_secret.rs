// Attack: a secret is guessed by comparing it with text, in time that depends on the text.
use refmon_core::secret::Secret;

fn guess(secret: &Secret<String>, text: &String) -> bool {
    secret == text
}

fn main() {}
