//! What was expected, in words of the schema and never of the value.

use jsonschema::ValidationError;
use jsonschema::error::{TypeKind, ValidationErrorKind as Kind};
use refmon_core::ports::Mismatch;

use super::UNDECLARED;

/// Longest pattern or limit that is repeated from the schema.
const SHOWN_CHARS_MAX: usize = 100;

/// The place and the expectation of an error. An undeclared property is reported at the object that has it, for
/// its name is the agent's.
pub(super) fn mismatch(error: &ValidationError<'_>) -> Mismatch {
    let pointer = error.instance_path().to_string();
    let keyword = error.schema_path().to_string();
    let closed = keyword.ends_with("/additionalProperties") || keyword.ends_with("/unevaluatedProperties");
    if closed && matches!(error.kind(), Kind::FalseSchema) {
        let object = pointer.rsplit_once('/').map_or("", |(object, _)| object);
        return Mismatch { pointer: object.to_owned(), expected: undeclared() };
    }
    Mismatch { pointer, expected: expected(error) }
}

fn undeclared() -> String {
    format!("{UNDECLARED} (the tool's schema names those that are allowed)")
}

fn expected(error: &ValidationError<'_>) -> String {
    match error.kind() {
        Kind::AdditionalProperties { .. } | Kind::UnevaluatedProperties { .. } => undeclared(),
        Kind::AdditionalItems { limit } => format!("a list of at most {limit} items"),
        Kind::AnyOf { .. } | Kind::OneOfNotValid { .. } => {
            "a value that fits one of the schema's alternatives".to_owned()
        }
        Kind::OneOfMultipleValid { .. } => "a value that fits exactly one of the schema's alternatives".to_owned(),
        Kind::Constant { .. } => "the constant that the schema states".to_owned(),
        Kind::Contains => "a list with an item that the schema asks for".to_owned(),
        Kind::Enum { .. } => "one of the values that the schema lists".to_owned(),
        Kind::ExclusiveMaximum { limit } => format!("a number below {}", short(&limit.to_string())),
        Kind::ExclusiveMinimum { limit } => format!("a number above {}", short(&limit.to_string())),
        Kind::Maximum { limit } => format!("a number of at most {}", short(&limit.to_string())),
        Kind::Minimum { limit } => format!("a number of at least {}", short(&limit.to_string())),
        Kind::MultipleOf { multiple_of } => format!("a multiple of {multiple_of}"),
        Kind::FalseSchema => "no value here: the schema allows none".to_owned(),
        Kind::Format { format } => format!("text in the format `{}`", short(format)),
        Kind::MaxItems { limit } => format!("a list of at most {limit} items"),
        Kind::MinItems { limit } => format!("a list of at least {limit} items"),
        Kind::MaxLength { limit } => format!("text of at most {limit} characters"),
        Kind::MinLength { limit } => format!("text of at least {limit} characters"),
        Kind::MaxProperties { limit } => format!("an object with at most {limit} properties"),
        Kind::MinProperties { limit } => format!("an object with at least {limit} properties"),
        Kind::Pattern { pattern } => format!("text that matches `{}`", short(pattern)),
        Kind::PropertyNames { .. } => "property names that the schema allows".to_owned(),
        Kind::Required { property } => {
            format!("the property `{}`", short(property.as_str().unwrap_or("that the schema requires")))
        }
        Kind::Type { kind } => match kind {
            TypeKind::Single(kind) => format!("a value of the type `{kind}`"),
            TypeKind::Multiple(kinds) => {
                let kinds: Vec<String> = kinds.iter().map(|kind| kind.to_string()).collect();
                format!("a value of one of the types `{}`", kinds.join("`, `"))
            }
        },
        Kind::UniqueItems => "a list without repetition".to_owned(),
        other => format!("what the schema's keyword `{}` says", short(other.keyword())),
    }
}

fn short(text: &str) -> String {
    text.chars().take(SHOWN_CHARS_MAX).filter(|c| !c.is_control()).collect()
}
