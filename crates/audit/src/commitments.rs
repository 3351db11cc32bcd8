//! Keyed commitments and handles, under one key per person.
//!
//! A commitment is HMAC-SHA-256 (RFC 2104) over a domain, a fresh salt and the bytes. Without the key nobody can
//! tell what was committed to, not even by trying every likely value; with it, whoever has the bytes can show that
//! they are the ones. Destroying a person's key therefore erases what the evidence says about them, and changes
//! no byte of the evidence.
//!
//! ```text
//! keys/master                the key that turns (tenant, user) into a file name, so that names tell nothing
//! keys/<name>.subject        (tenant, user) → handle: 16 bytes
//! keys/<handle>.key          handle → key: 32 bytes
//! ```
//!
//! INVARIANT: a subject file appears after its key file is durable, whole, and once: it is written under another
//! name and linked. Of two processes that make one at the same time, one wins and both use what it made. Keys are
//! readable by their owner only; anything else is an error, because a key that others can read protects nobody.

use std::collections::HashMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use hmac::{Hmac, KeyInit as _, Mac as _};
use refmon_core::caller::Caller;
use refmon_core::ids::{SubjectHandle, TenantId, UserId};
use refmon_core::ports::{self, Fault};
use refmon_core::record::Commitment;
use refmon_core::secret::Secret;
use sha2::Sha256;

const COMMITMENT_DOMAIN: &[u8] = b"refmon/commitment/v1";
const SUBJECT_DOMAIN: &[u8] = b"refmon/subject/v1";
/// Subjects that are kept in memory.
const CACHED_MAX: usize = 65_536;

type Key = Secret<[u8; 32]>;

/// Keys that cannot be read, made or trusted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// An operation on a file failed.
    #[error("cannot {action} `{path}`; let the user that runs refmon own the data folder and check its disk")]
    File {
        /// What was tried.
        action: &'static str,
        /// On which path.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Others may read or change a key.
    #[error("`{path}` can be read or changed by others; run `chmod go= {path}` and consider its keys known")]
    Exposed {
        /// The path.
        path: PathBuf,
    },
    /// A key or a subject file does not have its length.
    #[error("`{path}` is not a whole file; restore it, or remove it to have its subject get a new handle")]
    Torn {
        /// The path.
        path: PathBuf,
    },
    /// The operating system gave no randomness.
    #[error("the operating system gives no randomness; check the sandbox of this process")]
    Randomness,
}

#[derive(Debug)]
struct Subject {
    handle: SubjectHandle,
    key: Key,
}

type Cache = HashMap<(TenantId, UserId), Arc<Subject>>;

/// The keys of one data folder.
#[derive(Debug)]
pub struct KeyFolder {
    folder: PathBuf,
    master: Key,
    subjects: RwLock<Cache>,
}

impl KeyFolder {
    /// Opens the folder of keys, which is made if its parent exists.
    ///
    /// # Errors
    /// [`KeyError`] if the folder or its master key cannot be made or read, or if others can.
    pub fn open(folder: &Path) -> Result<Self, KeyError> {
        match DirBuilder::new().mode(0o700).create(folder) {
            Ok(()) => {
                if let Some(parent) = folder.parent().filter(|parent| !parent.as_os_str().is_empty()) {
                    sync(parent)?;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(source) => return Err(failed("create", folder, source)),
        }
        let metadata = fs::metadata(folder).map_err(|source| failed("examine", folder, source))?;
        private(folder, &metadata)?;
        let path = folder.join("master");
        let master = match read::<32>(&path)? {
            Some(key) => key,
            None => place(folder, &path, &Secret::new(random()?))?,
        };
        Ok(Self { folder: folder.to_owned(), master, subjects: RwLock::default() })
    }

    fn of(&self, caller: &Caller) -> Result<Arc<Subject>, KeyError> {
        let name = (caller.tenant().clone(), caller.user().clone());
        if let Some(subject) = self.subjects.read().unwrap_or_else(PoisonError::into_inner).get(&name) {
            return Ok(Arc::clone(subject));
        }
        let subject = Arc::new(self.load(caller)?);
        let mut subjects = self.subjects.write().unwrap_or_else(PoisonError::into_inner);
        if subjects.len() >= CACHED_MAX {
            subjects.clear();
        }
        subjects.insert(name, Arc::clone(&subject));
        Ok(subject)
    }

    fn load(&self, caller: &Caller) -> Result<Subject, KeyError> {
        let path = self.subject_path(caller);
        if let Some(handle) = read::<16>(&path)? {
            return self.subject(*handle.expose());
        }
        let handle: [u8; 16] = random()?;
        let key_path = self.key_path(handle);
        place(&self.folder, &key_path, &Secret::new(random::<32>()?))?;
        let placed = place(&self.folder, &path, &Secret::new(handle))?;
        if *placed.expose() != handle {
            // Another process was first. Nothing was committed to under this key.
            fs::remove_file(&key_path).map_err(|source| failed("remove", &key_path, source))?;
        }
        self.subject(*placed.expose())
    }

    /// The handle of a person, if there is one: nothing is made for a name that somebody asks about.
    ///
    /// # Errors
    /// [`KeyError`] if the subject's file cannot be read or trusted.
    pub fn handle(&self, caller: &Caller) -> Result<Option<SubjectHandle>, KeyError> {
        let name = (caller.tenant().clone(), caller.user().clone());
        if let Some(subject) = self.subjects.read().unwrap_or_else(PoisonError::into_inner).get(&name) {
            return Ok(Some(subject.handle));
        }
        Ok(read::<16>(&self.subject_path(caller))?.map(|handle| SubjectHandle::from_bytes(*handle.expose())))
    }

    fn subject(&self, handle: [u8; 16]) -> Result<Subject, KeyError> {
        let path = self.key_path(handle);
        match read(&path)? {
            Some(key) => Ok(Subject { handle: SubjectHandle::from_bytes(handle), key }),
            None => Err(failed("read", &path, io::ErrorKind::NotFound.into())),
        }
    }

    fn subject_path(&self, caller: &Caller) -> PathBuf {
        let name = mac(
            &self.master,
            &[SUBJECT_DOMAIN, caller.tenant().as_str().as_bytes(), caller.user().as_str().as_bytes()],
        );
        let name: String = name.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        self.folder.join(format!("{name}.subject"))
    }

    fn key_path(&self, handle: [u8; 16]) -> PathBuf {
        self.folder.join(format!("{}.key", SubjectHandle::from_bytes(handle)))
    }

    /// Whether a commitment of this caller was made to these bytes.
    ///
    /// # Errors
    /// [`KeyError`] if the caller's key cannot be read.
    pub fn opens(&self, caller: &Caller, commitment: &Commitment, bytes: &[u8]) -> Result<bool, KeyError> {
        let subject = self.of(caller)?;
        let mac = Secret::new(mac(&subject.key, &[COMMITMENT_DOMAIN, &commitment.salt, bytes]));
        Ok(mac == Secret::new(commitment.mac))
    }
}

impl ports::Commitments for KeyFolder {
    fn subject(&self, caller: &Caller) -> Result<SubjectHandle, Fault> {
        self.of(caller).map(|subject| subject.handle).map_err(|error| Fault::caused("the key folder", error))
    }

    fn commit(&self, caller: &Caller, bytes: &[u8]) -> Result<Commitment, Fault> {
        let subject = self.of(caller).map_err(|error| Fault::caused("the key folder", error))?;
        let salt = random().map_err(|error| Fault::caused("randomness", error))?;
        Ok(Commitment { salt, mac: mac(&subject.key, &[COMMITMENT_DOMAIN, &salt, bytes]) })
    }
}

/// HMAC-SHA-256 over parts, each preceded by its length, so that no two lists of parts have the same bytes.
fn mac(key: &Key, parts: &[&[u8]]) -> [u8; 32] {
    // A key of 32 bytes is shorter than a block, so it is padded with zeros (RFC 2104, section 2).
    let mut block = [0; 64];
    for (slot, byte) in block.iter_mut().zip(key.expose()) {
        *slot = *byte;
    }
    let mut mac = Hmac::<Sha256>::new(&block.into());
    zeroize::Zeroize::zeroize(&mut block);
    for part in parts {
        mac.update(&(part.len() as u64).to_be_bytes());
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

fn random<const N: usize>() -> Result<[u8; N], KeyError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|_| KeyError::Randomness)?;
    Ok(bytes)
}

/// Puts a secret in its place, unless one is there already; gives back the one that is there.
fn place<const N: usize>(folder: &Path, path: &Path, secret: &Secret<[u8; N]>) -> Result<Secret<[u8; N]>, KeyError> {
    let draft = folder.join(format!(".{}", SubjectHandle::from_bytes(random()?)));
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&draft)
        .map_err(|source| failed("create", &draft, source))?;
    let written = file.write_all(secret.expose()).and_then(|()| file.sync_all());
    written.map_err(|source| failed("write", &draft, source))?;
    match fs::hard_link(&draft, path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(source) => return Err(failed("create", path, source)),
    }
    fs::remove_file(&draft).map_err(|source| failed("remove", &draft, source))?;
    sync(folder)?;
    read(path)?.ok_or_else(|| failed("read", path, io::ErrorKind::NotFound.into()))
}

fn read<const N: usize>(path: &Path) -> Result<Option<Secret<[u8; N]>>, KeyError> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(failed("read", path, source)),
    };
    let metadata = file.metadata().map_err(|source| failed("examine", path, source))?;
    private(path, &metadata)?;
    if metadata.len() != N as u64 {
        return Err(KeyError::Torn { path: path.to_owned() });
    }
    let mut bytes = [0; N];
    let filled = file.read_exact(&mut bytes);
    let secret = Secret::new(bytes);
    zeroize::Zeroize::zeroize(&mut bytes);
    filled.map(|()| Some(secret)).map_err(|source| failed("read", path, source))
}

fn private(path: &Path, metadata: &fs::Metadata) -> Result<(), KeyError> {
    let ours = metadata.uid() == rustix::process::geteuid().as_raw();
    if ours && metadata.mode() & 0o077 == 0 { Ok(()) } else { Err(KeyError::Exposed { path: path.to_owned() }) }
}

fn sync(folder: &Path) -> Result<(), KeyError> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(|source| failed("make durable", folder, source))
}

fn failed(action: &'static str, path: &Path, source: io::Error) -> KeyError {
    KeyError::File { action, path: path.to_owned(), source }
}
