//! The operator's directory of one tenant: subjects and resources that searches look through, with the attributes that a
//! question leaves out.

use std::collections::BTreeMap;
use std::fmt;

use refmon_core::ids::Scope;
use refmon_core::json::{Json, Strictness};

/// Subjects and resources of one tenant, each by its type and identifier.
#[derive(Debug, Clone, Default)]
pub struct Directory {
    subjects: BTreeMap<(String, String), Known>,
    resources: BTreeMap<(String, String), Known>,
}

/// What the operator says of a subject or a resource.
#[derive(Clone)]
pub struct Known {
    scopes: Option<Vec<Scope>>,
    /// A JSON object that has been through the gate.
    properties: String,
}

/// The same type and identifier stands there twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it stands there twice")]
pub struct Twice;

/// The properties are no JSON object with one reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("its properties are not an object with exactly one reading")]
pub struct Properties;

impl Known {
    /// What the operator says: scopes (of a subject), and attributes as a JSON object.
    ///
    /// # Errors
    /// [`Properties`] if they are not an object with one reading.
    pub fn new(scopes: Option<Vec<Scope>>, properties: String) -> Result<Self, Properties> {
        match Json::parse_with(properties.as_bytes(), Strictness::Request) {
            Ok(Json::Object(_)) => Ok(Self { scopes, properties }),
            Ok(_) | Err(_) => Err(Properties),
        }
    }

    /// The scopes; `None` if the operator names none.
    #[must_use]
    pub fn scopes(&self) -> Option<&[Scope]> {
        self.scopes.as_deref()
    }

    /// The attributes.
    #[must_use]
    pub fn properties(&self) -> Json<'_> {
        // INVARIANT: they have been parsed at the same strictness.
        Json::parse(self.properties.as_bytes()).unwrap_or(Json::Object(Vec::new()))
    }
}

impl Directory {
    /// Adds a subject.
    ///
    /// # Errors
    /// [`Twice`] if it is there already.
    pub fn add_subject(&mut self, kind: String, id: String, known: Known) -> Result<(), Twice> {
        self.subjects.insert((kind, id), known).map_or(Ok(()), |_| Err(Twice))
    }

    /// Adds a resource.
    ///
    /// # Errors
    /// [`Twice`] if it is there already.
    pub fn add_resource(&mut self, kind: String, id: String, known: Known) -> Result<(), Twice> {
        self.resources.insert((kind, id), known).map_or(Ok(()), |_| Err(Twice))
    }

    /// Finds a subject.
    #[must_use]
    pub fn subject(&self, kind: &str, id: &str) -> Option<&Known> {
        self.subjects.get(&(kind.to_owned(), id.to_owned()))
    }

    /// Finds a resource.
    #[must_use]
    pub fn resource(&self, kind: &str, id: &str) -> Option<&Known> {
        self.resources.get(&(kind.to_owned(), id.to_owned()))
    }

    /// The identifiers of all subjects of a type, sorted.
    pub(crate) fn subjects<'d>(&'d self, kind: &'d str) -> impl Iterator<Item = &'d str> {
        ids(&self.subjects, kind)
    }

    /// The identifiers of all resources of a type, sorted.
    pub(crate) fn resources<'d>(&'d self, kind: &'d str) -> impl Iterator<Item = &'d str> {
        ids(&self.resources, kind)
    }
}

fn ids<'d>(all: &'d BTreeMap<(String, String), Known>, kind: &'d str) -> impl Iterator<Item = &'d str> {
    let from = (kind.to_owned(), String::new());
    all.range(from..).take_while(move |((of, _), _)| of == kind).map(|((_, id), _)| id.as_str())
}

impl fmt::Debug for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Known").field("scopes", &self.scopes).finish_non_exhaustive()
    }
}
