//! From JSON Schema to Cedar types: the part that is sound.
//!
//! The arguments have passed their schema before policy sees them, so an attribute may have a type exactly if
//! every value that the schema allows there fits it. Where that cannot be shown, the attribute does not exist
//! for policy ([`Hidden`]), and the operator is told.

use std::cell::Cell;
use std::collections::BTreeMap;

use refmon_core::json::Json;

use crate::schema::walk;

/// Nesting of records that policy sees.
pub const DEPTH_MAX: usize = 5;
/// Parts of one schema that are looked at. A hostile schema can have few parts that stand for very many.
const PARTS_MAX: usize = 20_000;
/// References that are followed in a row.
const REFERENCES_MAX: usize = 16;

/// The Cedar type of an argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shape {
    /// `Bool`
    Flag,
    /// `Long`
    Long,
    /// `decimal`
    Decimal,
    /// `String`
    Text,
    /// `Set<String>`
    Texts,
    /// `Set<Long>`
    Longs,
    /// A record whose attributes are all optional.
    Record(BTreeMap<String, Shape>),
}

/// A property that has no sound type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hidden {
    /// The attribute, such as `args.options`.
    pub attribute: String,
    /// Why.
    pub reason: String,
}

/// The shapes of the top-level properties, and what has none. Without a schema there is nothing to see.
#[must_use]
pub fn arguments(schema: Option<&Json<'_>>) -> (BTreeMap<String, Shape>, Vec<Hidden>) {
    let mut hidden = Vec::new();
    let Some(root) = schema else { return (BTreeMap::new(), hidden) };
    let mut shaper = Shaper { root, hidden: &mut hidden, trail: Vec::new(), parts: Cell::new(PARTS_MAX) };
    let shapes = shaper.record(root, "args", 0);
    for name in walk::properties(root) {
        let attribute = attribute("args", &name);
        let known = shapes.contains_key(&name) || hidden.iter().any(|one| one.attribute == attribute);
        if !known {
            hidden.push(Hidden { attribute, reason: "it is declared in an alternative only".to_owned() });
        }
    }
    (shapes, hidden)
}

/// A type, and whether `null` is allowed as well (which policy sees as an absent attribute).
type Found = Result<Option<Shape>, String>;

struct Shaper<'s, 'j> {
    root: &'s Json<'j>,
    hidden: &'s mut Vec<Hidden>,
    /// The references that are being followed.
    trail: Vec<*const Json<'j>>,
    /// The parts that may still be looked at.
    parts: Cell<usize>,
}

impl<'s, 'j> Shaper<'s, 'j> {
    fn record(&mut self, schema: &'s Json<'j>, at: &str, depth: usize) -> BTreeMap<String, Shape> {
        let mut shapes = BTreeMap::new();
        let properties = schema.member("properties").and_then(Json::as_object).unwrap_or_default();
        for (name, property) in properties {
            if self.parts.get() == 0 {
                self.hide(format!("{at}.*"), "its schema is too large".to_owned());
                break;
            }
            let attribute = attribute(at, name);
            match self.shape(property, &attribute, depth) {
                Ok(Some(shape)) => {
                    shapes.insert(name.to_string(), shape);
                }
                Ok(None) => self.hide(attribute, "only `null` is allowed".to_owned()),
                Err(reason) => self.hide(attribute, reason),
            }
        }
        shapes
    }

    fn spend(&self) -> bool {
        let left = self.parts.get();
        self.parts.set(left.saturating_sub(1));
        left > 0
    }

    fn hide(&mut self, attribute: String, reason: String) {
        self.hidden.push(Hidden { attribute, reason });
    }

    /// The shape of what a schema allows apart from `null`; `None` if nothing else is allowed.
    ///
    /// Every keyword of a schema only narrows what is allowed, so one keyword that gives a type is enough. Where
    /// several do, they must agree.
    fn shape(&mut self, schema: &'s Json<'j>, at: &str, depth: usize) -> Found {
        if !self.spend() {
            return Err("its schema is too large".to_owned());
        }
        match schema {
            Json::Bool(true) => return Err("its schema allows anything".to_owned()),
            Json::Bool(false) => return Err("its schema allows nothing".to_owned()),
            Json::Null | Json::Number(_) | Json::Text(_) | Json::List(_) => return Err("it has no schema".to_owned()),
            Json::Object(_) => {}
        }
        if let Some(kind) = schema.member("type") {
            return self.typed(schema, kind, at, depth);
        }
        let mut found: Vec<Found> = Vec::new();
        if let Some(values) = schema.member("enum").and_then(Json::as_list) {
            found.push(of_values(values));
        }
        if let Some(value) = schema.member("const") {
            found.push(of_values(std::slice::from_ref(value)));
        }
        if let Some(reference) = schema.member("$ref").and_then(Json::as_text) {
            found.push(self.referred(reference, at, depth));
        }
        for key in ["anyOf", "oneOf"] {
            if let Some(branches) = schema.member(key).and_then(Json::as_list) {
                found.push(self.alternatives(branches, at, depth));
            }
        }
        for branch in schema.member("allOf").and_then(Json::as_list).unwrap_or_default() {
            found.push(self.shape(branch, at, depth));
        }
        agree(found)
    }

    fn typed(&mut self, schema: &'s Json<'j>, kind: &'s Json<'j>, at: &str, depth: usize) -> Found {
        let kinds: Vec<&str> = match kind {
            Json::Text(kind) => vec![kind],
            Json::List(kinds) => kinds.iter().filter_map(Json::as_text).collect(),
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::Object(_) => Vec::new(),
        };
        let mut other = kinds.iter().filter(|kind| **kind != "null");
        match (other.next(), other.next()) {
            (None, _) if kinds.is_empty() => Err("its type is not stated".to_owned()),
            (None, _) => Ok(None),
            (Some(&kind), None) => self.named(schema, kind, at, depth).map(Some),
            (Some(_), Some(_)) => Err("its schema allows several types".to_owned()),
        }
    }

    fn named(&mut self, schema: &'s Json<'j>, kind: &str, at: &str, depth: usize) -> Result<Shape, String> {
        match kind {
            "boolean" => Ok(Shape::Flag),
            "integer" => Ok(Shape::Long),
            "string" => Ok(Shape::Text),
            "number" if fits_decimal(schema) => Ok(Shape::Decimal),
            "number" => {
                Err("numbers that may have more than four digits after the point have no exact type; give the \
                             argument the kind `amount`"
                    .to_owned())
            }
            "array" => self.list(schema, at, depth),
            "object" if depth >= DEPTH_MAX => Err("it nests too deep".to_owned()),
            "object" if schema.member("properties").and_then(Json::as_object).is_none_or(<[_]>::is_empty) => {
                Err("its schema declares no properties".to_owned())
            }
            "object" => Ok(Shape::Record(self.record(schema, at, depth + 1))),
            other => Err(format!("its type `{other}` is not known")),
        }
    }

    fn list(&mut self, schema: &'s Json<'j>, at: &str, depth: usize) -> Result<Shape, String> {
        if schema.member("prefixItems").is_some() {
            return Err("its items have types by position".to_owned());
        }
        let items = schema.member("items").ok_or("its schema does not say what its items are")?;
        let before = self.hidden.len();
        let item = self.shape(items, &format!("{at}[]"), depth + 1);
        self.hidden.truncate(before);
        if self.allows_null(items, 0) {
            return Err("its items may be `null`".to_owned());
        }
        match item {
            Ok(Some(Shape::Text)) => Ok(Shape::Texts),
            Ok(Some(Shape::Long)) => Ok(Shape::Longs),
            Ok(Some(_) | None) => Err("only lists of texts or whole numbers have a type".to_owned()),
            Err(reason) => Err(format!("its items have no type: {reason}")),
        }
    }

    /// Whether `null` may be allowed; errs towards yes.
    fn allows_null(&self, schema: &'s Json<'j>, depth: usize) -> bool {
        if depth > REFERENCES_MAX || !self.spend() {
            return true;
        }
        match schema.member("type") {
            Some(Json::Text(kind)) => return kind == "null",
            Some(Json::List(kinds)) => return kinds.iter().any(|kind| kind.as_text() == Some("null")),
            Some(_) | None => {}
        }
        if let Some(values) = schema.member("enum").and_then(Json::as_list) {
            return values.contains(&Json::Null);
        }
        if let Some(value) = schema.member("const") {
            return *value == Json::Null;
        }
        if let Some(reference) = schema.member("$ref").and_then(Json::as_text) {
            return walk::resolve(self.root, reference).map_or(true, |target| self.allows_null(target, depth + 1));
        }
        let branches = |key: &str| schema.member(key).and_then(Json::as_list);
        for key in ["anyOf", "oneOf"] {
            if let Some(branches) = branches(key) {
                return branches.iter().any(|branch| self.allows_null(branch, depth + 1));
            }
        }
        branches("allOf").is_none_or(|branches| branches.iter().all(|branch| self.allows_null(branch, depth + 1)))
    }

    fn referred(&mut self, reference: &str, at: &str, depth: usize) -> Found {
        let target = walk::resolve(self.root, reference).map_err(|error| error.to_string())?;
        let address = std::ptr::from_ref(target);
        if self.trail.contains(&address) || self.trail.len() >= REFERENCES_MAX {
            return Err("its schema refers to itself".to_owned());
        }
        self.trail.push(address);
        let found = self.shape(target, at, depth);
        self.trail.pop();
        found
    }

    fn alternatives(&mut self, branches: &'s [Json<'j>], at: &str, depth: usize) -> Found {
        let mut common: Option<Shape> = None;
        for branch in branches.iter().filter(|branch| **branch != Json::Bool(false)) {
            let Some(shape) = self.shape(branch, at, depth)? else { continue };
            match &common {
                Some(earlier) if *earlier != shape => return Err("its alternatives have different types".to_owned()),
                Some(_) | None => common = Some(shape),
            }
        }
        Ok(common)
    }
}

/// All keywords that give a type must give the same; those that give none do not matter.
fn agree(found: Vec<Found>) -> Found {
    let mut reason = "its schema does not state a type".to_owned();
    let mut common: Option<Option<Shape>> = None;
    for one in found {
        match (one, &common) {
            (Err(why), _) => reason = why,
            (Ok(shape), Some(earlier)) if *earlier != shape => {
                return Err("the parts of its schema have different types".to_owned());
            }
            (Ok(shape), _) => common = Some(shape),
        }
    }
    common.ok_or(reason)
}

fn of_values(values: &[Json<'_>]) -> Found {
    let shapes = values.iter().filter(|value| **value != Json::Null).map(|value| match value {
        Json::Bool(_) => Ok(Shape::Flag),
        Json::Text(_) => Ok(Shape::Text),
        Json::Number(number) if number.as_i64().is_some() => Ok(Shape::Long),
        Json::Number(_) | Json::Null | Json::List(_) | Json::Object(_) => {
            Err("it lists values that have no type".to_owned())
        }
    });
    let mut common = None;
    for shape in shapes {
        let shape = shape?;
        match &common {
            Some(earlier) if *earlier != shape => return Err("it lists values of different types".to_owned()),
            Some(_) | None => common = Some(shape),
        }
    }
    Ok(common)
}

/// Whether every number that the schema allows is exact with four digits after the point and in range.
fn fits_decimal(schema: &Json<'_>) -> bool {
    let exact = |value: &Json<'_>| value.as_number().and_then(|number| number.as_decimal4());
    if let Some(values) = schema.member("enum").and_then(Json::as_list) {
        return values.iter().all(|value| *value == Json::Null || exact(value).is_some());
    }
    let bound = |keys: [&str; 2]| keys.iter().any(|key| schema.member(key).is_some_and(|value| exact(value).is_some()));
    let step = schema.member("multipleOf").is_some_and(|value| exact(value).is_some_and(|step| step > 0));
    step && bound(["minimum", "exclusiveMinimum"]) && bound(["maximum", "exclusiveMaximum"])
}

/// An attribute of an attribute, as a policy spells it.
fn attribute(at: &str, name: &str) -> String {
    let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && name.chars().next().is_some_and(|c| !c.is_ascii_digit());
    if plain { format!("{at}.{name}") } else { format!("{at}[\"{}\"]", name.escape_default()) }
}
