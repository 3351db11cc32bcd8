//! The structure of a journal's folder, and what recovery would do about it. Changes nothing.

use std::path::Path;

use crate::disk::RealDisk;
use crate::finding::Finding;
use crate::folder;
use crate::ids::BootId;
use crate::recovery;
use crate::segment;
use crate::verify::{self, BootState, VerifyError};
use crate::walk;

/// What the next start does about a boot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Plan {
    /// Nothing: it is closed, or its process lives.
    Nothing,
    /// Closes it.
    Recover {
        /// Permitted calls that become indeterminate.
        open: u64,
        /// Whole records behind the last whole batch that are kept.
        kept: u64,
        /// Bytes behind the last whole batch.
        torn_bytes: u64,
    },
    /// Writes the marker that is missing; the segments are closed.
    Mark,
    /// Leaves it alone, because of these findings.
    LeaveAlone(Vec<Finding>),
}

/// The structure of one boot's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootStructure {
    /// The boot.
    pub boot: BootId,
    /// How it stands.
    pub state: BootState,
    /// The numbers of its segments and the bytes in each.
    pub segments: Vec<(u64, u64)>,
    /// Files under provisional or unknown names.
    pub leftovers: Vec<String>,
    /// What the next start does about it.
    pub plan: Plan,
}

/// Reports on every boot of a journal, oldest first.
///
/// # Errors
/// [`VerifyError`] if a file cannot be read.
pub fn fsck(journal: &Path) -> Result<Vec<BootStructure>, VerifyError> {
    let boots = folder::boots(walk::list(&RealDisk, journal)?);
    boots.into_iter().map(|boot| structure(journal, boot)).collect()
}

fn structure(journal: &Path, boot: BootId) -> Result<BootStructure, VerifyError> {
    let folder = journal.join(boot.to_string());
    let state = verify::state(&folder)?;
    let names = walk::list(&RealDisk, &folder)?;
    let mut segments = Vec::new();
    for number in folder::segments(&names) {
        let path = folder.join(segment::file_name(number));
        let metadata = std::fs::metadata(&path).map_err(|source| VerifyError { path, source })?;
        segments.push((number, metadata.len()));
    }
    let known =
        |name: &String| segment::number_of(name).is_some() || [folder::LOCK, folder::CLOSED].contains(&name.as_str());
    let mut leftovers: Vec<String> = names.into_iter().filter(|name| !known(name)).collect();
    leftovers.sort_unstable();
    let plan = if state == BootState::NotClosed { plan(&folder, boot)? } else { Plan::Nothing };
    Ok(BootStructure { boot, state, segments, leftovers, plan })
}

fn plan(folder: &Path, boot: BootId) -> Result<Plan, VerifyError> {
    let remains = recovery::examine(&RealDisk, folder, boot)?;
    let walked = remains.walked;
    Ok(if !walked.findings.is_empty() {
        Plan::LeaveAlone(walked.findings)
    } else if walked.closed {
        Plan::Mark
    } else {
        Plan::Recover {
            open: remains.open.len() as u64,
            kept: remains.kept.len() as u64,
            torn_bytes: walked.torn_bytes,
        }
    })
}
