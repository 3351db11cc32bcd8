//! Literal secrets in configurations: how they are recognised, and how references stand in for them.
//!
//! Recognition is a guess that errs towards yes: a value that is moved into the environment without need costs a
//! variable, a secret that is copied into another file is one more place to lose it.

use std::ops::Range;

use refmon_core::secret::Secret;

/// Words in a name that say that its value is a secret.
const WORDS: &[&str] = &[
    "TOKEN",
    "SECRET",
    "PASSWORD",
    "PASSWD",
    "PASSPHRASE",
    "APIKEY",
    "API_KEY",
    "PRIVATE_KEY",
    "CREDENTIAL",
    "ACCESS_KEY",
    "AUTHORIZATION",
    "COOKIE",
];

/// How the keys of well-known services begin.
const PREFIXES: &[&str] = &["sk-", "ghp_", "gho_", "github_pat_", "glpat-", "xox", "AKIA", "ASIA", "-----BEGIN", "eyJ"];

/// Whether a name says that its value is a secret.
pub(crate) fn named(name: &str) -> bool {
    let upper: String = name.chars().map(|c| if c == '-' { '_' } else { c.to_ascii_uppercase() }).collect();
    WORDS.iter().any(|word| upper.contains(word))
}

/// Whether a name suggests that its value is a secret, for whoever is about to copy it: more than [`named`] says.
pub(crate) fn suspected(name: &str) -> bool {
    let last = name.rsplit(['-', '_']).next().unwrap_or_default().to_ascii_uppercase();
    named(name) || ["KEY", "PAT", "AUTH", "PASS", "PWD", "DSN"].contains(&last.as_str())
}

/// Whether a value begins like the key of a well-known service.
pub(crate) fn prefixed(value: &str) -> bool {
    PREFIXES.iter().any(|prefix| value.starts_with(prefix))
}

/// The password in the first URL of a text that has one, or the user where a web address has nothing else.
pub(crate) fn login(text: &str) -> Option<Range<usize>> {
    text.match_indices("://").find_map(|(at, mark)| {
        let start = at + mark.len();
        let rest = text.get(start..)?;
        let rest = rest.split(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '<' | '>')).next()?;
        let authority = rest.split(['/', '?', '#']).next()?;
        // A password may hold what should have been escaped; what is a port is not one.
        let odd = authority.rsplit_once(':').is_some_and(|(_, port)| !port.bytes().all(|byte| byte.is_ascii_digit()));
        let user = match authority.rfind('@') {
            Some(end) => rest.get(..end)?,
            None if odd => rest.get(..rest.rfind('@')?)?,
            None => return None,
        };
        match user.find(':') {
            Some(colon) if colon + 1 < user.len() => Some(start + colon + 1..start + user.len()),
            Some(_) => None,
            None if user.is_empty() || !text.get(..at)?.ends_with("http") && !text.get(..at)?.ends_with("https") => {
                None
            }
            None => Some(start..start + user.len()),
        }
    })
}

/// Whether a text looks drawn at random: long, of one alphabet, with upper case, lower case and digits mixed, or hexadecimal.
fn random(piece: &str) -> bool {
    let alphabet = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '=' | '_' | '-');
    let has = |class: fn(&char) -> bool| piece.chars().any(|c| class(&c));
    if piece.len() < 20 || !piece.chars().all(alphabet) || !has(char::is_ascii_digit) {
        return false;
    }
    let hexadecimal = piece.len() >= 32 && piece.chars().all(|c| c.is_ascii_hexdigit() || c == '-');
    hexadecimal || (has(char::is_ascii_lowercase) && has(char::is_ascii_uppercase) && entropy(piece) > 3.5)
}

/// Bits per character, by the frequencies of the text itself.
#[expect(clippy::cast_precision_loss, reason = "counts of characters are far below 2^52")]
fn entropy(text: &str) -> f64 {
    let mut counts = std::collections::BTreeMap::<char, usize>::new();
    for character in text.chars() {
        *counts.entry(character).or_default() += 1;
    }
    let all = text.chars().count() as f64;
    counts.values().map(|count| *count as f64 / all).map(|share| -share * share.log2()).sum()
}

/// Whether a value holds a secret that should be a reference. References in it are not looked at.
pub(crate) fn literal(name: &str, value: &str) -> bool {
    let plain = references(value).iter().fold(value.to_owned(), |text, (written, _)| text.replace(written, ""));
    let whole = plain.len() == value.len() && named(name);
    whole || plain.split_whitespace().any(prefixed) || login(&plain).is_some()
}

/// The references `${env:NAME}` in a text: as written, and the name.
pub(crate) fn references(text: &str) -> Vec<(String, String)> {
    let ends = text.split("${env:").skip(1).filter_map(|rest| rest.split_once('}'));
    ends.filter(|(name, _)| variable(name)).map(|(name, _)| (format!("${{env:{name}}}"), name.to_owned())).collect()
}

/// Whether a text can be the name of an environment variable.
pub(crate) fn variable(name: &str) -> bool {
    let first = name.chars().next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
    first && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// A secret in a text, and how to tell somebody where it is without showing it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Sighting {
    pub(crate) range: Range<usize>,
    /// What it is called where it stands, if it has a name.
    pub(crate) name: Option<String>,
    /// Where it is in the text.
    pub(crate) part: String,
}

/// The first secret in a text, such as an argument of a command. `flag` is the argument before it.
pub(crate) fn sight(text: &str, flag: Option<&str>) -> Option<Sighting> {
    if let Some(flag) = flag.filter(|flag| flag.starts_with('-') && !flag.contains('=') && named(flag)) {
        let name = flag.trim_start_matches('-').to_owned();
        if !text.starts_with('-') && worth(&name, text) {
            return Some(Sighting {
                range: 0..text.len(),
                part: format!("what follows `{}`", shown(flag)),
                name: Some(name),
            });
        }
    }
    if let Some(range) = login(text) {
        return Some(Sighting { range, name: None, part: "what stands before the `@` of the URL".to_owned() });
    }
    behind_a_name(text).or_else(|| by_itself(text))
}

/// `--api-key=VALUE`, `API_KEY=VALUE` and `Authorization: VALUE`.
fn behind_a_name(text: &str) -> Option<Sighting> {
    text.char_indices().filter(|(_, c)| matches!(c, '=' | ':')).find_map(|(at, separator)| {
        let before = text.get(..at)?;
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        let from = before.rfind(|c: char| !plain(c)).map_or(0, |end| end + 1);
        let name = before.get(from..)?;
        // A colon belongs to a header, or to a member of JSON; elsewhere it is a port, a drive or an image's tag.
        let header = separator == '=' || from == 0 || before.get(..from)?.ends_with([' ', '"', '\'', ',', ';']);
        let quoted = separator == ':' && name.is_empty();
        let name = if quoted { before.trim_end_matches(['"', '\'']).rsplit(|c: char| !plain(c)).next()? } else { name };
        // A name is shown, so it must not be a key itself.
        if !named(name) || !(header || quoted) || prefixed(name) || random(name) {
            return None;
        }
        let rest = text.get(at + 1..)?;
        let value = rest.trim_start_matches([' ', '"', '\'']);
        let start = text.len() - value.len();
        let ends: &[char] = if separator == '=' { &['&', '"', '\'', '\n'] } else { &['"', '\'', '\n'] };
        let end = value.find(ends).unwrap_or(value.len());
        let value = value.get(..end)?;
        let part = format!("what stands behind `{}{separator}`", shown(name));
        worth(name, value).then(|| Sighting {
            range: start..start + end,
            name: Some(name.trim_matches('-').to_owned()),
            part,
        })
    })
}

/// A name with such a word does not make a secret of nothing, a number of tokens, a switch, or a file that exists.
pub(crate) fn worth(name: &str, value: &str) -> bool {
    let amount = name.to_ascii_lowercase().ends_with("tokens") && value.bytes().all(|byte| byte.is_ascii_digit());
    let switch = matches!(value, "" | "true" | "false");
    let path = value.starts_with(['/', '.']) && std::path::Path::new(value).exists();
    !(amount || switch || path)
}

/// A piece of the text that is a secret whatever stands around it.
fn by_itself(text: &str) -> Option<Sighting> {
    let boundary = |c: char| c.is_whitespace() || "/\\:;,=&?#@\"'()[]{}<>".contains(c);
    let mut start = 0;
    for piece in text.split_inclusive(boundary) {
        let word = piece.trim_end_matches(boundary);
        if word.len() >= 12 && prefixed(word) || random(word) {
            // What has the form of neither a path nor a URL is one value: a slash may be one of its own characters.
            let whole = !text.contains("://")
                && !text.starts_with(['/', '.', '~', '-', '@', '{'])
                && !text.contains([' ', '=', ':']);
            let range = if whole { 0..text.len() } else { start..start + word.len() };
            return Some(Sighting { range, name: None, part: "the part that looks like a key".to_owned() });
        }
        start += piece.len();
    }
    None
}

fn shown(name: &str) -> String {
    name.chars().take(64).collect()
}

/// A text of which some parts are references to environment variables.
#[derive(Debug, Default)]
pub(crate) struct Template(Vec<Part>);

/// A part of a [`Template`].
#[derive(Debug)]
pub(crate) enum Part {
    /// Stands for itself.
    Text(String),
    /// Stands for an environment variable. The value is what was moved there, or what to take while it is not set.
    Reference { variable: String, moved: bool, value: Option<Secret<String>> },
}

/// What to cut out of a text, and what stands for it.
pub(crate) struct Cut {
    pub(crate) range: Range<usize>,
    pub(crate) part: Part,
}

// === impl Template ===

impl Template {
    pub(crate) const fn new(parts: Vec<Part>) -> Self {
        Self(parts)
    }

    /// Cuts secrets out of the texts: `find` says where one is, and which part stands for it.
    pub(crate) fn cut(&mut self, find: &mut dyn FnMut(&str) -> Option<Cut>) {
        let mut done = Vec::new();
        let mut waiting: Vec<Part> = std::mem::take(&mut self.0);
        waiting.reverse();
        while let Some(part) = waiting.pop() {
            let Part::Text(text) = part else {
                done.push(part);
                continue;
            };
            let Some(Cut { range, part: reference }) = find(&text) else {
                done.push(Part::Text(text));
                continue;
            };
            let before = text.get(..range.start).unwrap_or_default().to_owned();
            let after = text.get(range.end..).unwrap_or_default().to_owned();
            waiting
                .extend([Part::Text(after), reference, Part::Text(before)].into_iter().filter(|part| !part.is_empty()));
        }
        self.0 = done;
    }

    /// The text if no part is a reference.
    pub(crate) fn plain(&self) -> Option<String> {
        let texts: Option<Vec<&str>> =
            self.0.iter().map(|part| if let Part::Text(text) = part { Some(text.as_str()) } else { None }).collect();
        texts.map(|texts| texts.concat())
    }

    pub(crate) fn parts(&self) -> &[Part] {
        &self.0
    }

    /// As it is written into a command or a URL.
    pub(crate) fn written(&self) -> String {
        let one = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            Part::Reference { variable, .. } => format!("${{env:{variable}}}"),
        };
        self.0.iter().map(one).collect()
    }

    /// As it is written as the value of a variable or header.
    pub(crate) fn written_alone(&self) -> String {
        match self.0.as_slice() {
            [Part::Reference { variable, .. }] => format!("env://{variable}"),
            _ => self.written(),
        }
    }

    /// The value as it is now, or the name of a variable that is not set.
    pub(crate) fn value(&self, environment: impl Fn(&str) -> Option<String>) -> Result<Secret<String>, String> {
        let mut text = String::new();
        for part in &self.0 {
            match part {
                Part::Text(plain) => text.push_str(plain),
                Part::Reference { value: Some(value), moved: true, .. } => text.push_str(value.expose()),
                Part::Reference { variable, value, .. } => match (environment(variable), value) {
                    (Some(set), _) => text.push_str(&set),
                    (None, Some(default)) => text.push_str(default.expose()),
                    (None, None) => return Err(variable.clone()),
                },
            }
        }
        Ok(Secret::new(text))
    }
}

impl Part {
    fn is_empty(&self) -> bool {
        matches!(self, Self::Text(text) if text.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen<'t>(text: &'t str, flag: Option<&str>) -> Option<&'t str> {
        sight(text, flag).and_then(|sighting| text.get(sighting.range))
    }

    #[test]
    fn secrets_are_seen_wherever_a_command_has_them() {
        for (text, secret) in [
            ("--api-key=abc", "abc"),
            ("--env=API_KEY=abc", "abc"),
            ("Authorization: Bearer abc", "Bearer abc"),
            ("Authorization:abc", "abc"),
            ("{\"token\": \"abc\"}", "abc"),
            ("https://host/?q=1&api_key=abc&x=y", "abc"),
            ("postgres://u:p@h/d", "p"),
            ("postgres://u:p/w@h/d", "p/w"),
            ("https://abc@host/x.git", "abc"),
            ("sk-0123456789", "sk-0123456789"),
            ("x=ghp_0123456789", "ghp_0123456789"),
            ("https://h/s/Zq3vT9xK2mW8cR5yB7nL/mcp", "Zq3vT9xK2mW8cR5yB7nL"),
            ("0123456789abcdef0123456789abcdef", "0123456789abcdef0123456789abcdef"),
        ] {
            assert_eq!(seen(text, None), Some(secret), "{text}");
        }
        assert_eq!(seen("abc", Some("--access-token")), Some("abc"));
    }

    #[test]
    fn what_is_no_secret_stays() {
        for text in [
            "-y",
            "@modelcontextprotocol/server-filesystem@2025.12.18",
            "/home/ann/notes",
            "--max-tokens=4096",
            "--use-token=true",
            "ssh://git@github.com/a/b",
            "http://localhost:8080/mcp",
            "https://registry.example/@scope/name",
            "postgres://ann@localhost:5432/notes",
            "mcp/server:latest",
            "--token=",
        ] {
            assert_eq!(seen(text, None), None, "{text}");
        }
        assert_eq!(seen("4096", Some("--max-tokens")), None);
        assert_eq!(seen("--next", Some("--token")), None);
        assert_eq!(seen("abc", Some("token")), None);
    }

    #[test]
    fn a_reference_is_no_secret_and_does_not_hide_one() {
        assert!(!literal("API_TOKEN", "${env:API_TOKEN}") && !literal("Authorization", "Bearer ${env:A}"));
        assert!(literal("X", "${env:A} sk-abc") && literal("API_TOKEN", "${env:}") && literal("X", "a://b:c@${env:H}"));
        assert_eq!(references("${env:A}${env:1}-${env:B}").len(), 2);
    }
}
