//! The files of API keys: private, locked while they change, replaced as a whole.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use refmon_core::json::Malformed;
use refmon_core::secret::Secret;
use rustix::fs::{FlockOperation, OFlags};
use zeroize::Zeroize as _;

use super::KeyId;

/// API keys that cannot be read, changed or trusted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFileError {
    /// An operation on a file failed.
    #[error("cannot {action} `{path}`; let the user that runs refmon own its folder and check the disk")]
    File {
        /// What was tried.
        action: &'static str,
        /// On which path.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Others may read or change a file.
    #[error("`{path}` belongs to others or can be read by them; run `chmod 600 {path}` and issue its keys anew")]
    Exposed {
        /// The path.
        path: PathBuf,
    },
    /// The file has no single reading.
    #[error("`{path}` has no single reading; restore it from a copy")]
    Malformed {
        /// The path.
        path: PathBuf,
        /// What is wrong.
        source: Malformed,
    },
    /// The file is JSON, but not of the form that it was written in.
    #[error("`{path}` is not a file of API keys; restore it from a copy")]
    Form {
        /// The path.
        path: PathBuf,
        /// What the parser says.
        source: serde_json::Error,
    },
    /// The file has an entry that was never written.
    #[error("`{path}` has an entry with a `{member}` that was never issued; restore it from a copy")]
    Entry {
        /// The path.
        path: PathBuf,
        /// Which member is wrong.
        member: &'static str,
    },
    /// The file is too large.
    #[error("`{path}` is too large; it is not a file of API keys, or has more than {}", crate::limits::API_KEYS_MAX)]
    TooLarge {
        /// The path.
        path: PathBuf,
    },
    /// There are keys, but not what their codes were made with.
    #[error("`{path}` is missing or not whole; restore it from a copy, or remove the keys and issue them anew")]
    Pepper {
        /// The path.
        path: PathBuf,
    },
    /// There are too many keys to add one.
    #[error("there are {} keys, as many as there may be; remove old ones from the file", crate::limits::API_KEYS_MAX)]
    Full,
    /// The expiry of a new key is not acceptable.
    #[error("a key expires in the future, and within a year; choose another expiry")]
    Expiry,
    /// There is no such key.
    #[error("there is no key `{0}`; list the keys")]
    Unknown(KeyId),
    /// The operating system gave no randomness.
    #[error("the operating system gives no randomness; check the sandbox of this process")]
    Randomness,
}

/// By what a changed file is told from an unchanged one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
    /// Cannot be set back by whoever writes in place.
    changed: (i64, i64),
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            bytes: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// The stamp of a file, without opening it.
pub(super) fn stamp(path: &Path) -> Result<Stamp, KeyFileError> {
    fs::symlink_metadata(path).map(|metadata| Stamp::of(&metadata)).map_err(|source| failed("examine", path, source))
}

/// Reads a private file of bounded size, and the stamp of what was read. `None` if there is none.
pub(super) fn read(path: &Path, bytes_max: usize) -> Result<Option<(Vec<u8>, Stamp)>, KeyFileError> {
    // A link would let whoever may write the folder choose which file is believed. A pipe must not make us wait.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let opened = OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path);
    let file = match opened {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(failed("read", path, source)),
    };
    let metadata = file.metadata().map_err(|source| failed("examine", path, source))?;
    let ours = metadata.uid() == rustix::process::geteuid().as_raw();
    if !ours || metadata.mode() & 0o077 != 0 || !metadata.is_file() {
        return Err(KeyFileError::Exposed { path: path.to_owned() });
    }
    let mut bytes = Vec::new();
    let bound = bytes_max as u64 + 1;
    file.take(bound).read_to_end(&mut bytes).map_err(|source| failed("read", path, source))?;
    if bytes.len() > bytes_max {
        return Err(KeyFileError::TooLarge { path: path.to_owned() });
    }
    Ok(Some((bytes, Stamp::of(&metadata))))
}

/// Puts a file in its place, whole and durably. Only under the lock: the draft has a fixed name.
pub(super) fn replace(path: &Path, bytes: &[u8], _lock: &Lock) -> Result<(), KeyFileError> {
    let draft = path.with_extension("draft");
    match fs::remove_file(&draft) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(source) => return Err(failed("remove", &draft, source)),
    }
    let created = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft);
    let mut file = created.map_err(|source| failed("create", &draft, source))?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    written.map_err(|source| failed("write", &draft, source))?;
    fs::rename(&draft, path).map_err(|source| failed("replace", path, source))?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(|source| failed("make durable", folder, source))
}

/// Reads the pepper, or makes it if there is none.
pub(super) fn pepper(path: &Path, keys_exist: bool, lock: &Lock) -> Result<Secret<[u8; 32]>, KeyFileError> {
    let torn = || KeyFileError::Pepper { path: path.to_owned() };
    if let Some((bytes, _)) = read(path, 32)? {
        let bytes = Secret::new(bytes);
        let mut pepper = <[u8; 32]>::try_from(bytes.expose().as_slice()).map_err(|_| torn())?;
        let kept = Secret::new(pepper);
        pepper.zeroize();
        return Ok(kept);
    }
    if keys_exist {
        return Err(torn());
    }
    let pepper = Secret::new(random()?);
    replace(path, pepper.expose(), lock)?;
    Ok(pepper)
}

/// The right to change the files. It ends with the value.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    /// Waits for the lock.
    pub(super) fn take(path: &Path) -> Result<Self, KeyFileError> {
        let flags = OFlags::NOFOLLOW.bits().cast_signed();
        let options =
            OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).custom_flags(flags).open(path);
        let file = options.map_err(|source| failed("create", path, source))?;
        let locked = rustix::fs::flock(&file, FlockOperation::LockExclusive);
        locked.map_err(|source| failed("lock", path, source.into()))?;
        Ok(Self { _file: file })
    }
}

/// Random bytes from the operating system.
pub(super) fn random<const N: usize>() -> Result<[u8; N], KeyFileError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|_| KeyFileError::Randomness)?;
    Ok(bytes)
}

pub(super) fn failed(action: &'static str, path: &Path, source: io::Error) -> KeyFileError {
    KeyFileError::File { action, path: path.to_owned(), source }
}
