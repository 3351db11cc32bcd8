//! The kind of an argument and its limits, as a contract file spells them.

use std::path::{Component, Path, PathBuf};

use refmon_core::contract::{Decimal4, Kind};
use refmon_core::json::Json;
use toml::de::DeTable;

use super::reader::{Reader, Value};
use crate::problem::nearest;

/// Every limit, and the kinds that it belongs to.
pub(super) const LIMITS: &[(&str, &[&str])] = &[
    ("roots", &["path"]),
    ("base", &["path"]),
    ("schemes", &["url"]),
    ("hosts", &["url"]),
    ("private", &["url"]),
    ("domains", &["email", "domain"]),
    ("max", &["amount"]),
    ("programs", &["command"]),
    ("write", &["sql"]),
];

const KINDS: &[&str] =
    &["path", "url", "email", "domain", "amount", "command", "sql", "id", "when", "content", "query", "flag", "text"];

/// Reads the kind named by `value` with the limits beside it.
pub(super) fn read<'a>(reader: &mut Reader<'a>, base: &Path, table: &DeTable<'a>, value: &Value<'a>) -> Option<Kind> {
    let name = reader.text(value, "kind")?;
    if !KINDS.contains(&name) {
        let hint = nearest(name, KINDS.iter().copied());
        reader.note(value.span().start, format!("`{name}` is not a kind{hint}"));
        return None;
    }
    refuse_foreign_limits(reader, table, name);
    Some(match name {
        "path" => Kind::Path {
            roots: texts(reader, table, "roots")?.iter().map(|(text, _)| absolute(base, text)).collect(),
            base: match table.get("base") {
                Some(value) => Some(absolute(base, reader.text(value, "base")?)),
                None => None,
            },
        },
        "url" => Kind::Url {
            // A scheme that nobody stated is not allowed, except the one that is meant by "a URL".
            schemes: match table.get("schemes") {
                Some(_) => lower(reader, table, "schemes")?,
                None => vec!["https".to_owned()],
            },
            hosts: lower(reader, table, "hosts")?,
            private: table.get("private").map_or(Some(false), |value| reader.flag(value, "private"))?,
        },
        "email" => Kind::Email { domains: lower(reader, table, "domains")? },
        "domain" => Kind::Domain { domains: lower(reader, table, "domains")? },
        "amount" => Kind::Amount {
            max: match table.get("max") {
                Some(value) => Some(decimal(reader, value)?),
                None => None,
            },
        },
        "command" => Kind::Command {
            programs: texts(reader, table, "programs")?.into_iter().map(|(text, _)| text.to_owned()).collect(),
        },
        "sql" => Kind::Sql { write: table.get("write").map_or(Some(false), |value| reader.flag(value, "write"))? },
        "id" => Kind::Id,
        "when" => Kind::When,
        "content" => Kind::Content,
        "query" => Kind::Query,
        "flag" => Kind::Flag,
        _ => Kind::Text,
    })
}

fn refuse_foreign_limits<'a>(reader: &mut Reader<'a>, table: &DeTable<'a>, kind: &str) {
    for (key, _) in table {
        let Some((limit, kinds)) = LIMITS.iter().find(|(limit, _)| *limit == key.get_ref().as_ref()) else { continue };
        if !kinds.contains(&kind) {
            let owners = kinds.join("` or `");
            reader.note(
                key.span().start,
                format!("`{limit}` is a limit of the kind `{owners}`, not of `{kind}`; remove it or change the kind"),
            );
        }
    }
}

fn texts<'t, 'a>(reader: &mut Reader<'a>, table: &'t DeTable<'a>, key: &str) -> Option<Vec<(&'t str, usize)>> {
    let Some(value) = table.get(key) else { return Some(Vec::new()) };
    let found = reader.texts(value, key)?;
    for (text, offset) in &found {
        if text.trim().is_empty() {
            reader.note(*offset, format!("`{key}` has an empty entry"));
        }
    }
    Some(found)
}

/// Names that are compared in lower case, as [`refmon_core::kinds`] makes them.
fn lower<'a>(reader: &mut Reader<'a>, table: &DeTable<'a>, key: &str) -> Option<Vec<String>> {
    let mut names = Vec::new();
    for (text, offset) in texts(reader, table, key)? {
        if text.contains(['*', '/', ' ', '@']) {
            reader.note(offset, format!("`{key}` takes plain names without patterns, such as `example.org`"));
        }
        names.push(text.to_ascii_lowercase());
    }
    Some(names)
}

/// A decimal number, written as text so that TOML does not round it.
fn decimal<'a>(reader: &mut Reader<'a>, value: &Value<'a>) -> Option<Decimal4> {
    let text = reader.text(value, "max")?;
    let found = match Json::parse(text.as_bytes()) {
        Ok(Json::Number(number)) => number.as_decimal4().filter(|amount| *amount >= 0),
        Ok(_) | Err(_) => None,
    };
    if found.is_none() {
        reader.note(
            value.span().start,
            "`max` must be a number with at most four digits after the point, such as \"100.00\"",
        );
    }
    found.map(Decimal4)
}

/// Joins a folder to the base and removes `.` and `..` by spelling alone. The adapter of the file system resolves
/// links later.
pub(super) fn absolute(base: &Path, folder: &str) -> PathBuf {
    let mut path = PathBuf::new();
    for component in base.join(folder).components() {
        match component {
            Component::CurDir => {}
            // At the root, `..` is the root (POSIX, section 4.16).
            Component::ParentDir => {
                if path.parent().is_some() {
                    path.pop();
                }
            }
            Component::Prefix(_) | Component::RootDir | Component::Normal(_) => path.push(component),
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_becomes_absolute_by_spelling() {
        let base = Path::new("/srv/app");
        assert_eq!(absolute(base, "./sandbox"), Path::new("/srv/app/sandbox"));
        assert_eq!(absolute(base, "../../.././etc"), Path::new("/etc"));
        assert_eq!(absolute(base, "/data/x/.."), Path::new("/data"));
        assert_eq!(absolute(base, "."), Path::new("/srv/app"));
    }
}
