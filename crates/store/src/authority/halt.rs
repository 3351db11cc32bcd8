//! The halt: while it is on, nothing is permitted.
//!
//! It is on by the configuration, or by a file in the data folder that is looked for at every call, so that it takes
//! effect at once in every process. The file counts by being there, whatever is in it: `touch` halts as well as
//! `refmon halt`.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use refmon_core::caller::Caller;
use refmon_core::decision::{Objection, Veto};
use refmon_core::digest::Hasher;
use refmon_core::ids::TenantId;
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

    /// The switch of one tenant beside this one, which is everybody's: a file in the folder `halts`. The file is named by
    /// a digest, so that no tenant's name leads to another's file.
    #[must_use]
    pub fn of_tenant(&self, tenant: &TenantId) -> Self {
        let mut hasher = Hasher::new("refmon/halt/v1");
        hasher.part(tenant.as_str().as_bytes());
        let name = hasher.finish().iter().fold(String::with_capacity(64), |mut name, byte| {
            for digit in [byte >> 4, byte & 15] {
                name.extend(char::from_digit(digit.into(), 16));
            }
            name
        });
        Self { file: self.file.with_file_name("halts").join(name) }
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
        self.make_folder()?;
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

    /// Makes the folder of tenants' switches. The data folder itself is never made here.
    fn make_folder(&self) -> io::Result<()> {
        let Some(folder) = self.file.parent().filter(|folder| folder.ends_with("halts")) else { return Ok(()) };
        match DirBuilder::new().mode(0o700).create(folder) {
            Ok(()) => File::open(folder.parent().unwrap_or(Path::new("/")))?.sync_all(),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
            Err(error) => Err(error),
        }
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
    fn preclude(&self, caller: &Caller, _: Moment) -> Option<Veto> {
        // What cannot be looked at is taken for on.
        let halted = self.configured
            || self.switch.is_on().unwrap_or(true)
            || self.switch.of_tenant(caller.tenant()).is_on().unwrap_or(true);
        halted.then(|| ReasonCode::Halted.into())
    }

    fn examine(&self, _: &Question<'_>) -> Option<Objection> {
        None
    }
}

#[cfg(test)]
mod tests {
    use refmon_core::ids::{AgentId, UserId};

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
    fn a_tenants_halt_is_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let switch = Switch::of(folder.path());
        let halt = Halt::new(false, switch.clone());
        let (own, other) = (TenantId::parse("t").unwrap(), TenantId::parse("../t").unwrap());
        assert!(switch.of_tenant(&other).put_on("x").unwrap());
        assert!(!halted(&halt), "another tenant's halt");
        assert!(switch.of_tenant(&own).put_on("x").unwrap() && !switch.of_tenant(&own).put_on("y").unwrap());
        assert!(halted(&halt) && !switch.is_on().unwrap());
        assert!(switch.of_tenant(&own).take_off().unwrap());
        assert!(!halted(&halt) && switch.of_tenant(&other).is_on().unwrap());
        fs::remove_dir_all(folder.path().join("halts")).unwrap();
        fs::write(folder.path().join("halts"), "").unwrap();
        assert!(halted(&halt), "what cannot be looked at is on");
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
