//! Keys of one object that clash.

use std::collections::BTreeSet;

use super::{Defect, Strictness, folded, same_ignoring_case};

/// The keys of one object: compared one by one while there are few, by a set when there are many.
#[derive(Default)]
pub(super) struct Keys {
    exact: BTreeSet<String>,
    folded: BTreeSet<String>,
}

impl Keys {
    const FEW: usize = 16;

    pub(super) fn clash<'k>(
        &mut self,
        known: impl ExactSizeIterator<Item = &'k str> + Clone,
        key: &str,
        strictness: Strictness,
    ) -> Option<Defect> {
        if strictness == Strictness::Lenient {
            return None;
        }
        if known.len() <= Self::FEW {
            if known.clone().any(|other| other == key) {
                return Some(Defect::DuplicateKey);
            }
            let variant =
                strictness == Strictness::Request && known.clone().any(|other| same_ignoring_case(other, key));
            return variant.then_some(Defect::CaseVariantKey);
        }
        if self.exact.is_empty() {
            self.exact.extend(known.clone().map(str::to_owned));
            self.folded.extend(known.map(|other| other.chars().map(folded).collect::<String>()));
        }
        if !self.exact.insert(key.to_owned()) {
            return Some(Defect::DuplicateKey);
        }
        let fresh = self.folded.insert(key.chars().map(folded).collect());
        (strictness == Strictness::Request && !fresh).then_some(Defect::CaseVariantKey)
    }
}
