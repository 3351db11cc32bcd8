//! Packs and the operator's policy files.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::read;
use crate::lint::Finding;
use crate::packs;
use crate::problem::{Problem, nearest};
use crate::rule::{Rule, parse_policies};

/// Policies as they were written.
#[derive(Debug, Default)]
pub(super) struct Written {
    pub(super) rules: Vec<Rule>,
    pub(super) findings: Vec<Finding>,
    /// Every text by a name that does not depend on where its folder is.
    pub(super) texts: BTreeMap<String, String>,
}

/// Reads packs and every `*.cedar` of a folder. A folder that is named must exist.
pub(super) fn read_policies(names: &[String], folder: Option<&Path>, problems: &mut Vec<Problem>) -> Written {
    let mut written = Written::default();
    for name in names {
        let Some(pack) = packs::find(name) else {
            let hint = nearest(name, packs::ALL.iter().map(|pack| pack.name));
            problems.push(Problem::whole(Path::new("packs"), format!("`{name}` is not a pack{hint}")));
            continue;
        };
        written.add(format!("pack:{name}"), &packs::file(name), pack.text.to_owned());
    }
    for file in folder.map(|folder| list(folder, problems)).unwrap_or_default() {
        let Some(bytes) = read(&file, problems) else { continue };
        // INVARIANT: every file has its own name among the texts, or one would stand for another.
        let Some(name) = file.file_name().and_then(|name| name.to_str()) else {
            problems.push(Problem::whole(&file, "the name of the file is not UTF-8"));
            continue;
        };
        match String::from_utf8(bytes) {
            Ok(text) => written.add(format!("file:{name}"), &file, text),
            Err(_) => problems.push(Problem::whole(&file, "the file is not UTF-8")),
        }
    }
    written
}

impl Written {
    fn add(&mut self, name: String, file: &Path, text: String) {
        // A pack that is named twice is in force once.
        if self.texts.contains_key(&name) {
            return;
        }
        let parsed = parse_policies(file, &text);
        self.rules.extend(parsed.rules);
        self.findings.extend(parsed.findings);
        self.texts.insert(name, text);
    }
}

fn list(folder: &Path, problems: &mut Vec<Problem>) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).and_then(|entries| entries.collect::<Result<Vec<_>, _>>());
    match entries {
        Ok(entries) => {
            let mut files: Vec<PathBuf> = entries
                .into_iter()
                .map(|entry| entry.path())
                .filter(|path| path.extension().is_some_and(|extension| extension == "cedar"))
                .collect();
            files.sort();
            files
        }
        Err(error) => {
            problems.push(Problem::whole(folder, format!("the folder of policies cannot be read: {error}")));
            Vec::new()
        }
    }
}
