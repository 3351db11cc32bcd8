//! Whether an argument that a contract names exists in the tool's schema.

use refmon_core::contract::Step;
use refmon_core::json::Json;

use crate::problem::nearest;
use crate::schema::walk;

/// Looks an argument up, in every alternative and behind local references.
///
/// Below an object that declares no properties nothing can be looked up, and anything is accepted.
///
/// # Errors
/// The end of a message: the nearest spelling.
pub(super) fn find(schema: &Json<'_>, steps: &[Step]) -> Result<(), String> {
    let mut places: Vec<&Json<'_>> = walk::here(schema, schema);
    for (depth, step) in steps.iter().enumerate() {
        let next: Vec<&Json<'_>> = match step {
            Step::Member(name) => {
                let declared = || {
                    let all = places.iter().filter_map(|place| place.member("properties")?.as_object());
                    all.flatten().map(|(name, property)| (name.as_ref(), property))
                };
                if declared().next().is_none() && depth > 0 && is_open(&places) {
                    return Ok(());
                }
                let found: Vec<_> = declared().filter(|(known, _)| known == name).map(|(_, found)| found).collect();
                if found.is_empty() {
                    return Err(nearest(name, declared().map(|(known, _)| known)));
                }
                found
            }
            Step::Each => {
                let keys = ["items", "prefixItems"];
                let items = keys.iter().flat_map(|key| places.iter().filter_map(|place| place.member(key)));
                let items: Vec<_> = items
                    .flat_map(|items| match items {
                        Json::List(items) => items.iter().collect(),
                        other => vec![other],
                    })
                    .collect();
                if items.is_empty() {
                    return Err("; it is not a list, so leave out `[]`".to_owned());
                }
                items
            }
        };
        places = next.into_iter().flat_map(|place| walk::here(schema, place)).collect();
    }
    Ok(())
}

/// Whether nothing says that there are no further properties.
fn is_open(places: &[&Json<'_>]) -> bool {
    places.iter().all(|place| place.member("additionalProperties") != Some(&Json::Bool(false)))
}
