//! What `wrap` and `serve` tell the person at the terminal, and how they notice changed files.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use refmon_core::monitor::Monitor;
use refmon_core::record::Event;

use crate::home::Home;
use crate::log::{Level, Log};

/// How often changed files are looked for. A change is taken up when the next look finds the same: a file that is being saved
/// is empty for a moment, and of files that are being copied some are not there yet.
const RELOAD: Duration = Duration::from_millis(500);

pub(crate) fn tell_opened(opened: &refmon_audit::journal::Opened, log: &Log) {
    for recovered in &opened.recovered {
        let open = recovered.open;
        let text = format!("an earlier run ended without closing its journal; {open} calls are now indeterminate");
        log.tell(Level::Warn, "journal.recovered", &text);
    }
    for damaged in &opened.damaged {
        let text = format!("the journal of {} is damaged; run `refmon audit verify`", damaged.boot);
        log.tell(Level::Error, "journal.damaged", &text);
    }
}

pub(crate) fn tell_halted(home: &Home, log: &Log) {
    if let Some(why) = crate::commands::halt::halted(home) {
        log.tell(Level::Warn, "halted", &why);
    }
}

/// Watches the files that make a bundle and puts a changed one in force. A broken one changes nothing, and that is
/// said.
pub(crate) fn reload(home: &Arc<Home>, monitor: &Arc<Monitor>, log: &Arc<Log>) {
    let (home, monitor, log) = (Arc::clone(home), Arc::downgrade(monitor), Arc::clone(log));
    let mut seen = signature(&home);
    let (mut changing, mut broken) = (None, false);
    let mut configured = modified(&home.file);
    std::thread::spawn(move || {
        loop {
            std::thread::sleep(RELOAD);
            let changed = modified(&home.file);
            if changed != configured {
                let text =
                    "refmon.toml has changed; identity, scopes, limits and servers are taken up at the next start";
                log.tell(Level::Warn, "configuration.changed", text);
                configured = changed;
            }
            let now = signature(&home);
            if now == seen || changing.as_ref() != Some(&now) {
                changing = Some(now);
                continue;
            }
            let Some(monitor) = monitor.upgrade() else { return };
            let loaded = home.load();
            if signature(&home) != now {
                continue;
            }
            seen = now;
            let outcome = match loaded {
                Ok(loaded) if loaded.bundle.digest() == monitor.bundle().digest() => {
                    if std::mem::take(&mut broken) {
                        let text = "contracts and policies are in order again: those that stayed in force";
                        log.tell(Level::Info, "bundle.repaired", text);
                    }
                    continue;
                }
                Ok(loaded) => {
                    broken = false;
                    let text = "new contracts and policies are in force".to_owned();
                    monitor
                        .activate(loaded.bundle)
                        .map_err(anyhow::Error::from)
                        .map(|()| (Level::Info, "bundle.activated", text))
                }
                Err(error) => {
                    broken = true;
                    let refused = monitor.note(Event::Refused(monitor.bundle().digest()));
                    let told =
                        format!("the changed contracts and policies are BROKEN; the old ones stay in force:\n{error}");
                    refused.map_err(anyhow::Error::from).map(|()| (Level::Error, "bundle.refused", told))
                }
            };
            match outcome {
                Ok((level, event, text)) => log.tell(level, event, &text),
                Err(error) => {
                    let text = format!("a change of contracts and policies could not be recorded: {error:#}");
                    log.tell(Level::Error, "bundle.unrecorded", &text);
                }
            }
        }
    });
}

fn modified(file: &Path) -> Option<SystemTime> {
    std::fs::metadata(file).and_then(|metadata| metadata.modified()).ok()
}

/// Names, sizes and times of all files that make a bundle.
fn signature(home: &Home) -> Vec<(PathBuf, u64, Option<SystemTime>)> {
    let sources = home.sources();
    let mut files: Vec<PathBuf> =
        sources.contracts.iter().map(|contract| refmon_policy::source::definitions_path(contract)).collect();
    files.extend(sources.contracts);
    if let Some(entries) = sources.policy_dir.and_then(|dir| std::fs::read_dir(dir).ok()) {
        files.extend(
            entries
                .filter_map(|entry| Some(entry.ok()?.path()))
                .filter(|path| path.extension().is_some_and(|end| end == "cedar")),
        );
    }
    files.sort();
    files
        .into_iter()
        .map(|file| {
            let metadata = std::fs::metadata(&file).ok();
            let size = metadata.as_ref().map_or(0, std::fs::Metadata::len);
            (file, size, metadata.and_then(|metadata| metadata.modified().ok()))
        })
        .collect()
}
