//! Roles: names that the operator gives to sets of scopes.
//!
//! A credential may name roles beside scopes. They become scopes when the caller is authenticated, and nothing behind
//! that sees a role. A name that the operator has not defined grants nothing; the operator is told of it once.
//!
//! INVARIANT: what a role grants stands in the operator's configuration. A credential only says which of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use refmon_core::ids::Scope;

use crate::limits;

/// The operator's roles.
#[derive(Debug, Default)]
pub struct Roles {
    scopes: BTreeMap<Box<str>, Vec<Scope>>,
    unknown: Mutex<Unknown>,
}

/// Names that were met and are no role's.
#[derive(Debug, Default)]
struct Unknown {
    met: BTreeSet<String>,
    untold: Vec<String>,
}

impl Roles {
    /// Roles with the scopes that each grants.
    pub fn new(roles: impl IntoIterator<Item = (String, Vec<Scope>)>) -> Self {
        let scopes = roles.into_iter().map(|(name, scopes)| (name.into_boxed_str(), scopes)).collect();
        Self { scopes, unknown: Mutex::default() }
    }

    /// Whether the operator has defined a role of this name.
    #[must_use]
    pub fn knows(&self, name: &str) -> bool {
        self.scopes.contains_key(name)
    }

    /// The names of all roles.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.scopes.keys().map(AsRef::as_ref)
    }

    /// The scopes that these roles grant. A name that is no role's grants nothing.
    pub fn expand<'n>(&self, names: impl IntoIterator<Item = &'n str>) -> Vec<Scope> {
        let mut granted = Vec::new();
        for name in names {
            match self.scopes.get(name) {
                Some(scopes) => granted.extend_from_slice(scopes),
                None => self.miss(name),
            }
        }
        granted
    }

    /// The names that were met since the last question and are no role's: each once, as they came.
    pub fn newly_unknown(&self) -> Vec<String> {
        std::mem::take(&mut self.unknown.lock().unwrap_or_else(PoisonError::into_inner).untold)
    }

    fn miss(&self, name: &str) {
        let mut unknown = self.unknown.lock().unwrap_or_else(PoisonError::into_inner);
        // Whoever makes credentials must not fill our memory with names.
        if unknown.met.len() < limits::UNKNOWN_ROLES_MAX && unknown.met.insert(name.to_owned()) {
            unknown.untold.push(name.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roles() -> Roles {
        let scopes = |texts: &[&str]| texts.iter().map(|text| Scope::parse(text).unwrap()).collect::<Vec<_>>();
        Roles::new([
            ("reader".to_owned(), scopes(&["files:read", "mail:read"])),
            ("writer".to_owned(), scopes(&["files:write"])),
        ])
    }

    #[test]
    fn a_role_grants_its_scopes_and_an_unknown_one_nothing() {
        let texts = |names: &[&str]| -> Vec<String> {
            roles().expand(names.iter().copied()).iter().map(Scope::to_string).collect()
        };
        assert_eq!(texts(&["reader"]), ["files:read", "mail:read"]);
        assert_eq!(texts(&["writer", "reader"]), ["files:write", "files:read", "mail:read"]);
        assert_eq!(texts(&[]), Vec::<String>::new());
        for name in ["", "Reader", "reader ", "files:read", "admin", "*"] {
            assert_eq!(texts(&[name]), Vec::<String>::new(), "{name}");
        }
    }

    #[test]
    fn an_unknown_role_is_told_once_and_only_so_many() {
        let roles = roles();
        let _granted = roles.expand(["ghost", "reader", "ghost"]);
        assert_eq!(roles.newly_unknown(), ["ghost"]);
        let _granted = roles.expand(["ghost"]);
        assert!(roles.newly_unknown().is_empty());
        for number in 0..limits::UNKNOWN_ROLES_MAX * 2 {
            let _granted = roles.expand([format!("ghost{number}").as_str()]);
        }
        assert_eq!(roles.newly_unknown().len(), limits::UNKNOWN_ROLES_MAX - 1);
    }
}
