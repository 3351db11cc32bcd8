//! What a body must look like, as tables. What is checked and what the OpenAPI document says is one and the same table.

use refmon_core::json::Json;
use serde_json::{Map, Value, json};

use crate::problem::Problem;

/// An object.
#[derive(Debug)]
pub(crate) struct Shape {
    /// Its name in the OpenAPI document.
    pub(crate) name: &'static str,
    /// What it is, in one sentence.
    pub(crate) about: &'static str,
    /// The members that are known.
    pub(crate) fields: &'static [Field],
    /// Whether members that are not known are let through, and ignored.
    pub(crate) open: bool,
}

/// A member of an object.
#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) required: bool,
    pub(crate) about: &'static str,
}

/// The kind of a value.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    /// Text of at most so many bytes.
    Text(usize),
    /// One of these texts.
    OneOf(&'static [&'static str]),
    /// `true` or `false`.
    Flag,
    /// A whole number that is not negative.
    Count,
    /// A list of texts.
    Texts,
    /// An object with any members.
    Map,
    /// Any value.
    Any,
    /// An object of a shape.
    Object(&'static Shape),
    /// A list of objects, of which each is checked by itself.
    Objects(&'static Shape, usize),
}

/// A member that must be there.
pub(crate) const fn required(name: &'static str, kind: Kind, about: &'static str) -> Field {
    Field { name, kind, required: true, about }
}

/// A member that may be there. `null` is as good as absent.
pub(crate) const fn optional(name: &'static str, kind: Kind, about: &'static str) -> Field {
    Field { name, kind, required: false, about }
}

impl Shape {
    /// Checks a value.
    ///
    /// # Errors
    /// [`Problem::Shape`] with the first place that is wrong, in names of the table.
    pub(crate) fn check(&self, value: &Json<'_>) -> Result<(), Problem> {
        self.check_at(value, "").map_err(Problem::Shape)
    }

    fn check_at(&self, value: &Json<'_>, at: &str) -> Result<(), String> {
        let place = |name: &str| format!("`{at}/{name}`");
        let Some(members) = value.as_object() else {
            return Err(if at.is_empty() {
                "the body must be an object".to_owned()
            } else {
                format!("`{at}` must be an object")
            });
        };
        if !self.open && members.iter().any(|(name, _)| !self.fields.iter().any(|field| field.name == name)) {
            let known: Vec<&str> = self.fields.iter().map(|field| field.name).collect();
            let whose = if at.is_empty() { "the body".to_owned() } else { format!("`{at}`") };
            return Err(format!("{whose} has a member other than {}", known.join(", ")));
        }
        for field in self.fields {
            match value.member(field.name) {
                None | Some(Json::Null) if field.required => return Err(format!("{} is missing", place(field.name))),
                None | Some(Json::Null) => {}
                Some(member) => field.kind.check(member, &format!("{at}/{}", field.name))?,
            }
        }
        Ok(())
    }

    /// The shape as JSON Schema; shapes below it are referred to.
    pub(crate) fn schema(&self) -> Value {
        let property = |field: &Field| {
            let mut schema = field.kind.schema();
            if let Some(schema) = schema.as_object_mut() {
                schema.insert("description".to_owned(), json!(field.about));
            }
            (field.name.to_owned(), schema)
        };
        let properties: Map<String, Value> = self.fields.iter().map(property).collect();
        let required: Vec<&str> = self.fields.iter().filter(|field| field.required).map(|field| field.name).collect();
        let mut schema = json!({ "type": "object", "description": self.about, "properties": properties });
        if let Some(schema) = schema.as_object_mut() {
            if !required.is_empty() {
                schema.insert("required".to_owned(), json!(required));
            }
            if !self.open {
                schema.insert("additionalProperties".to_owned(), json!(false));
            }
        }
        schema
    }

    /// This shape and all below it.
    pub(crate) fn with_deeper(&'static self, found: &mut Vec<&'static Self>) {
        if found.iter().any(|known| known.name == self.name) {
            return;
        }
        found.push(self);
        for field in self.fields {
            if let Kind::Object(deeper) | Kind::Objects(deeper, _) = field.kind {
                deeper.with_deeper(found);
            }
        }
    }

    /// How the OpenAPI document refers to it.
    pub(crate) fn reference(&self) -> Value {
        json!({ "$ref": format!("#/components/schemas/{}", self.name) })
    }
}

impl Kind {
    fn check(self, value: &Json<'_>, at: &str) -> Result<(), String> {
        let fits = match self {
            Self::Text(bytes_max) => value.as_text().is_some_and(|text| text.len() <= bytes_max),
            Self::OneOf(known) => value.as_text().is_some_and(|text| known.contains(&text)),
            Self::Flag => value.as_bool().is_some(),
            Self::Count => value.as_number().is_some_and(|number| number.as_u64().is_some()),
            Self::Texts => value.as_list().is_some_and(|list| list.iter().all(|item| item.as_text().is_some())),
            Self::Map => value.as_object().is_some(),
            Self::Any => true,
            Self::Object(shape) => return shape.check_at(value, at),
            Self::Objects(_, items_max) => value.as_list().is_some_and(|list| list.len() <= items_max),
        };
        if fits { Ok(()) } else { Err(format!("`{at}` must be {}", self.expected())) }
    }

    fn expected(self) -> String {
        match self {
            Self::Text(bytes_max) => format!("a text of at most {bytes_max} bytes"),
            Self::OneOf(known) => format!("one of {}", known.join(", ")),
            Self::Flag => "true or false".to_owned(),
            Self::Count => "a whole number that is not negative".to_owned(),
            Self::Texts => "a list of texts".to_owned(),
            Self::Map | Self::Object(_) => "an object".to_owned(),
            Self::Any => "a value".to_owned(),
            Self::Objects(_, items_max) => format!("a list of at most {items_max} objects"),
        }
    }

    fn schema(self) -> Value {
        match self {
            Self::Text(_) => json!({ "type": "string" }),
            Self::OneOf(known) => json!({ "type": "string", "enum": known }),
            Self::Flag => json!({ "type": "boolean" }),
            Self::Count => json!({ "type": "integer", "minimum": 0 }),
            Self::Texts => json!({ "type": "array", "items": { "type": "string" } }),
            Self::Map => json!({ "type": "object" }),
            Self::Any => json!({}),
            Self::Object(shape) => json!({ "allOf": [shape.reference()] }),
            Self::Objects(shape, items_max) => {
                json!({ "type": "array", "items": shape.reference(), "maxItems": items_max })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INNER: Shape = Shape { name: "Inner", about: "", fields: &[required("id", Kind::Text(4), "")], open: true };
    const OUTER: Shape = Shape {
        name: "Outer",
        about: "",
        fields: &[
            required("inner", Kind::Object(&INNER), ""),
            optional("how", Kind::OneOf(&["a", "b"]), ""),
            optional("many", Kind::Objects(&INNER, 2), ""),
            optional("count", Kind::Count, ""),
        ],
        open: false,
    };

    #[test]
    fn the_first_place_that_is_wrong_is_named_and_never_the_value() {
        let said = |text: &str| match OUTER.check(&Json::parse(text.as_bytes()).unwrap()) {
            Ok(()) => String::new(),
            Err(Problem::Shape(text)) => text,
            Err(other) => panic!("{other:?}"),
        };
        for (text, says) in [
            (r#"{"inner":{"id":"x","canary":1}}"#, ""),
            (r#"{"inner":{"id":"x"},"how":null}"#, ""),
            ("[]", "the body must be an object"),
            ("{}", "`/inner` is missing"),
            (r#"{"inner":null}"#, "`/inner` is missing"),
            (r#"{"inner":"canary"}"#, "`/inner` must be an object"),
            (r#"{"inner":{}}"#, "`/inner/id` is missing"),
            (r#"{"inner":{"id":"canary"}}"#, "`/inner/id` must be a text of at most 4 bytes"),
            (r#"{"inner":{"id":"x"},"how":"canary"}"#, "`/how` must be one of a, b"),
            (r#"{"inner":{"id":"x"},"many":[1,2,3]}"#, "`/many` must be a list of at most 2 objects"),
            (r#"{"inner":{"id":"x"},"count":-1}"#, "`/count` must be a whole number that is not negative"),
            (r#"{"inner":{"id":"x"},"canary":1}"#, "the body has a member other than inner, how, many, count"),
        ] {
            assert_eq!(said(text), says, "{text}");
        }
    }
}
