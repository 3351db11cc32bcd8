//! Bounds on a schema, so that no call can make its check expensive.
//!
//! A schema is a graph: references may lead anywhere in it. Three things could make a check run away, and each
//! is refused when the schema is compiled, so that the check itself needs no clock:
//! - a part that applies itself to the same value again (`{"$ref": "#"}`): there is no end;
//! - alternatives of alternatives: the parts that apply to one value, counted as often as they are reached, are
//!   at most [`PARTS_MAX`];
//! - alternatives that refer to each other below the same member: each level of the value multiplies the work.
//!   How often one value can be checked is followed down to [`limits::JSON_DEPTH_MAX`] levels and is at most
//!   [`VISITS_MAX`].

use std::collections::{BTreeMap, HashMap};

use refmon_core::json::Json;
use refmon_core::limits;

use super::SchemaError;
use super::walk::{self, Place};

/// Bytes of a schema in canonical form.
pub const SCHEMA_BYTES_MAX: usize = 256 * 1024;
/// Schemas within a schema.
pub const NODES_MAX: usize = 4_096;
/// Parts that apply to one value, counted as often as they are reached.
pub const PARTS_MAX: u64 = 2_000;
/// Times that one value is checked.
pub const VISITS_MAX: u64 = 2_000;
/// Length of a chain of parts that apply to the same value.
const CHAIN_MAX: usize = 128;
/// Edges that the analysis follows.
const EDGES_MAX: usize = 200_000;

/// Checks a schema against the bounds.
///
/// # Errors
/// [`SchemaError`], naming the bound or the reference.
pub fn check(schema: &Json<'_>) -> Result<(), SchemaError> {
    if schema.canonical().len() > SCHEMA_BYTES_MAX {
        return Err(SchemaError::TooLarge { what: "too many bytes", most: SCHEMA_BYTES_MAX });
    }
    let graph = Graph::of(schema)?;
    let applied = graph.applied()?;
    visits(&applied)
}

/// What each schema applies to the same value, and to its members and elements.
struct Graph {
    here: Vec<Vec<usize>>,
    below: Vec<Vec<(Place, usize)>>,
    names: Vec<String>,
}

impl Graph {
    fn of(root: &Json<'_>) -> Result<Self, SchemaError> {
        let mut nodes = vec![root];
        let mut index = HashMap::from([(address(root), 0usize)]);
        let mut graph = Self { here: Vec::new(), below: Vec::new(), names: Vec::new() };
        let mut next = 0;
        let mut inner_id = None;
        let mut refers = false;
        while let Some(&schema) = nodes.get(next) {
            let mut enter = |part| {
                *index.entry(address(part)).or_insert_with(|| {
                    nodes.push(part);
                    nodes.len() - 1
                })
            };
            let mut here = Vec::new();
            let mut below = Vec::new();
            let mut name = String::new();
            for (place, part) in walk::parts(schema) {
                let target = enter(part);
                if place == Place::Here { here.push(target) } else { below.push((place, target)) }
            }
            for reference in walk::references(schema) {
                here.push(enter(walk::resolve(root, reference)?));
                reference.clone_into(&mut name);
                refers = true;
            }
            walk::kept(schema).for_each(|part| {
                enter(part);
            });
            if next > 0 {
                inner_id = inner_id.or_else(|| schema.member("$id").and_then(Json::as_text));
            }
            graph.here.push(here);
            graph.below.push(below);
            graph.names.push(name);
            if nodes.len() > NODES_MAX {
                return Err(SchemaError::TooLarge { what: "too many parts", most: NODES_MAX });
            }
            next += 1;
        }
        match inner_id {
            // An inner `$id` changes what references mean. Refused rather than read in two ways.
            Some(id) if refers => Err(SchemaError::RemoteReference(id.chars().take(200).collect())),
            Some(_) | None => Ok(graph),
        }
    }

    /// For each schema, what it applies below the value, and how often.
    fn applied(&self) -> Result<Vec<Applied>, SchemaError> {
        let mut done: Vec<Option<Applied>> = vec![None; self.here.len()];
        let mut edges = 0usize;
        for node in 0..self.here.len() {
            self.settle(node, 0, &mut done)?;
            edges = edges.saturating_add(done.get(node).and_then(Option::as_ref).map_or(0, |one| one.below.len()));
            if edges > EDGES_MAX {
                return Err(SchemaError::Explosive);
            }
        }
        Ok(done.into_iter().flatten().collect())
    }

    fn settle(&self, node: usize, depth: usize, done: &mut [Option<Applied>]) -> Result<(), SchemaError> {
        if done.get(node).is_some_and(Option::is_some) {
            return Ok(());
        }
        if depth > CHAIN_MAX {
            let name = self.names.get(node).cloned().unwrap_or_default();
            return Err(SchemaError::Endless(name));
        }
        let mut applied = Applied { parts: 1, below: BTreeMap::new() };
        for edge in self.below.get(node).into_iter().flatten() {
            *applied.below.entry(edge.clone()).or_insert(0) += 1;
        }
        for &target in self.here.get(node).into_iter().flatten() {
            self.settle(target, depth + 1, done)?;
            let Some(Some(inner)) = done.get(target) else { continue };
            applied.parts = applied.parts.saturating_add(inner.parts);
            for (edge, times) in &inner.below {
                let sum = applied.below.entry(edge.clone()).or_insert(0);
                *sum = sum.saturating_add(*times);
            }
            if applied.parts > PARTS_MAX || applied.below.len() > EDGES_MAX {
                return Err(SchemaError::Explosive);
            }
        }
        if let Some(slot) = done.get_mut(node) {
            *slot = Some(applied);
        }
        Ok(())
    }
}

/// What one schema applies, with everything that applies to the same value.
#[derive(Clone)]
struct Applied {
    parts: u64,
    below: BTreeMap<(Place, usize), u64>,
}

/// Follows how often one value can be checked, level by level.
fn visits(applied: &[Applied]) -> Result<(), SchemaError> {
    let mut below: Vec<u64> = vec![1; applied.len()];
    for _ in 0..limits::JSON_DEPTH_MAX {
        let mut now = Vec::with_capacity(applied.len());
        for one in applied {
            let most = worst(one, &below);
            if most > VISITS_MAX {
                return Err(SchemaError::Explosive);
            }
            now.push(most.max(1));
        }
        if now == below {
            return Ok(());
        }
        below = now;
    }
    Ok(())
}

/// The most that any single member or element is checked.
fn worst(one: &Applied, below: &[u64]) -> u64 {
    let mut any_member = 0u64;
    let mut elements = 0u64;
    let mut members: BTreeMap<&str, u64> = BTreeMap::new();
    for ((place, target), times) in &one.below {
        let work = times.saturating_mul(below.get(*target).copied().unwrap_or(1));
        let slot = match place {
            Place::Here => continue,
            Place::Member(name) => members.entry(name).or_insert(0),
            Place::Members => &mut any_member,
            Place::Elements => &mut elements,
        };
        *slot = slot.saturating_add(work);
    }
    let named = members.into_values().max().unwrap_or(0);
    named.saturating_add(any_member).max(elements)
}

fn address(json: &Json<'_>) -> usize {
    std::ptr::from_ref(json).addr()
}
