//! The halt: while it is on, nothing is permitted.
//!
//! It is on by the configuration, or by a file in the data folder that is looked for at every call, so that it takes
//! effect at once in every process. The file counts by being there, whatever is in it: `touch` halts as well as
//! `refmon halt`.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use refmon_core::caller::Caller;
use refmon_core::decision::{Objection, Veto};
use refmon_core::ports::{Inspector, Moment, Question};
use refmon_core::reason::ReasonCode;

/// Bytes of the file that are read for people.
const WORDS_BYTES_MAX: u64 = 4_096;

/// The file that halts.
#[derive(Debug, Clone)]
pub struct Switch {
    file: PathBuf,
}

impl Switch {
    /// The switch of a data folder: its file `halted`.
    #[must_use]
    pub fn of(data: &Path) -> Self {
        Self { file: data.join("halted") }
    }

    /// The file.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Whether it is on: something has the file's name, be it a link to nothing.
    ///
    /// # Errors
    /// An error of the file system; whoever decides by it takes it for a yes.
    pub fn is_on(&self) -> io::Result<bool> {
        match fs::symlink_metadata(&self.file) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Switches it on, durably, with words for people. `false` if it was on; the earlier words stay then.
    ///
    /// # Errors
    /// An error of the file system. It may be on then: the file is made before it is written.
    pub fn put_on(&self, words: &str) -> io::Result<bool> {
        let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&self.file);
        let mut file = match made {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(false),
            Err(error) => return Err(error),
        };
        file.write_all(words.as_bytes())?;
        file.sync_all()?;
        self.sync_folder()?;
        Ok(true)
    }

    /// Switches it off. `false` if it was off.
    ///
    /// # Errors
    /// An error of the file system.
    pub fn take_off(&self) -> io::Result<bool> {
        match fs::remove_file(&self.file) {
            Ok(()) => self.sync_folder().map(|()| true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The words that it was switched on with, at most 4 KiB of them.
    ///
    /// # Errors
    /// An error of the file system.
    pub fn words(&self) -> io::Result<String> {
        let mut bytes = Vec::new();
        File::open(&self.file)?.take(WORDS_BYTES_MAX).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn sync_folder(&self) -> io::Result<()> {
        File::open(self.file.parent().unwrap_or(Path::new("/")))?.sync_all()
    }
}

/// Denies everything while the halt is on.
#[derive(Debug)]
pub struct Halt {
    configured: bool,
    switch: Switch,
}

impl Halt {
    /// A halt that is on for good, or as long as the switch is.
    #[must_use]
    pub const fn new(configured: bool, switch: Switch) -> Self {
        Self { configured, switch }
    }
}

impl Inspector for Halt {
    fn preclude(&self, _: &Caller, _: Moment) -> Option<Veto> {
        // What cannot be looked at is taken for on.
        let halted = self.configured || self.switch.is_on().unwrap_or(true);
        halted.then(|| ReasonCode::Halted.into())
    }

    fn examine(&self, _: &Question<'_>) -> Option<Objection> {
        None
    }
}

#[cfg(test)]
mod tests {
    use refmon_core::ids::{AgentId, TenantId, UserId};

    use super::*;

    fn halted(halt: &Halt) -> bool {
        let [tenant, user, agent] = ["t", "u", "a"];
        let (tenant, user) = (TenantId::parse(tenant).unwrap(), UserId::parse(user).unwrap());
        let caller = Caller::local(tenant, user, AgentId::parse(agent).unwrap(), []);
        halt.preclude(&caller, Moment::default()).is_some()
    }

    #[test]
    fn the_file_halts_by_being_there_and_keeps_the_first_words() {
        let folder = tempfile::tempdir().unwrap();
        let switch = Switch::of(folder.path());
        let halt = Halt::new(false, switch.clone());
        assert!(!halted(&halt));
        assert!(switch.put_on("first").unwrap() && !switch.put_on("second").unwrap());
        assert!(halted(&halt));
        assert_eq!(switch.words().unwrap(), "first");
        assert!(switch.take_off().unwrap() && !switch.take_off().unwrap());
        assert!(!halted(&halt));
        std::os::unix::fs::symlink("nowhere", switch.file()).unwrap();
        assert!(halted(&halt), "a link to nothing is there");
        fs::remove_file(switch.file()).unwrap();
        fs::create_dir(switch.file()).unwrap();
        assert!(halted(&halt), "a folder is there");
    }

    #[test]
    fn a_switch_that_cannot_be_looked_at_is_on() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("data");
        fs::write(&file, "").unwrap();
        // The data folder is a file: looking fails, and not because nothing is there.
        let switch = Switch::of(&file);
        assert!(switch.is_on().is_err());
        assert!(halted(&Halt::new(false, switch)));
        assert!(halted(&Halt::new(true, Switch::of(folder.path()))), "by configuration, without a file");
    }
}
