// Attack: a stranger's text is shown as it came.
use refmon_core::untrusted::Untrusted;

fn print(text: &Untrusted<String>) -> String {
    format!("{text}")
}

fn main() {}
