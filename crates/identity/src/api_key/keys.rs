//! Issuing, revoking and believing keys.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use hmac::{Hmac, KeyInit as _, Mac as _};
use refmon_core::caller::{Caller, IdentityKind};
use refmon_core::ids::{AgentId, Scope, TenantId, UserId};
use refmon_core::ports::Moment;
use refmon_core::secret::Secret;
use sha2::Sha256;
use zeroize::Zeroize as _;

use crate::limits;
use crate::refused::{Refused, Why};
use crate::roles::Roles;

use super::file::{self, Lock, Stamp};
use super::{KeyFileError, KeyId, credential, wire};

const DOMAIN: &[u8] = b"refmon/api-key/v1";

/// A key to be issued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewKey {
    /// The tenant.
    pub tenant: TenantId,
    /// The person who answers for what the key does.
    pub user: UserId,
    /// The agent that gets the key.
    pub agent: AgentId,
    /// The scopes.
    pub scopes: Vec<Scope>,
    /// The roles, by name.
    pub roles: Vec<String>,
    /// The second from which on it is refused: at most a year ahead.
    pub expires: u64,
}

/// What is known of a key that was issued: all but its secret. Times are seconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRecord {
    /// The public part of the key.
    pub id: KeyId,
    /// The tenant.
    pub tenant: TenantId,
    /// The person who answers for what the key does.
    pub user: UserId,
    /// The agent that has the key.
    pub agent: AgentId,
    /// The scopes.
    pub scopes: Vec<Scope>,
    /// The roles, by name. What they grant is looked up at each use.
    pub roles: Vec<String>,
    /// When it was issued.
    pub created: u64,
    /// The second from which on it is refused.
    pub expires: u64,
    /// When it was revoked, if it was.
    pub revoked: Option<u64>,
}

/// A record and the code of its secret.
#[derive(Debug, Clone)]
pub(super) struct Stored {
    pub(super) record: KeyRecord,
    pub(super) code: [u8; 32],
}

pub(super) type Keys = BTreeMap<KeyId, Stored>;

/// What was last read, and of which file. A file with wrong content is remembered too.
#[derive(Debug)]
struct Seen {
    stamp: Stamp,
    keys: Result<Arc<Keys>, Arc<KeyFileError>>,
}

/// The API keys of one file.
#[derive(Debug)]
pub struct ApiKeys {
    path: PathBuf,
    pepper: Secret<[u8; 32]>,
    seen: RwLock<Option<Seen>>,
    roles: Arc<Roles>,
}

impl ApiKeys {
    /// Opens the keys in `api-keys.json` of a folder that exists. Without files, begins with no key.
    ///
    /// # Errors
    /// [`KeyFileError`] if the files cannot be made, read or trusted.
    pub fn open(folder: &Path) -> Result<Self, KeyFileError> {
        let path = folder.join("api-keys.json");
        let lock = Lock::take(&path.with_extension("lock"))?;
        let found = file::read(&path, limits::API_KEY_FILE_BYTES_MAX)?;
        let pepper = file::pepper(&path.with_extension("pepper"), found.is_some(), &lock)?;
        match found {
            Some((bytes, _)) => {
                wire::parse(&path, &bytes)?;
            }
            None => file::replace(&path, &wire::print(&path, &Keys::new())?, &lock)?,
        }
        Ok(Self { path, pepper, seen: RwLock::default(), roles: Arc::default() })
    }

    /// With what the roles of keys grant. Without it, they grant nothing.
    #[must_use]
    pub fn with_roles(mut self, roles: Arc<Roles>) -> Self {
        self.roles = roles;
        self
    }

    /// Issues a key. The secret is in the answer and nowhere else: it can be shown once.
    ///
    /// # Errors
    /// [`KeyFileError`] if the expiry is not acceptable or the file cannot be changed; then no key was issued.
    pub fn issue(&self, new: NewKey, now: Moment) -> Result<(KeyId, Secret<String>), KeyFileError> {
        let created = now.unix_us / 1_000_000;
        let seconds = new.expires.checked_sub(created).filter(|seconds| *seconds > 0);
        seconds.filter(|seconds| *seconds <= limits::API_KEY_SECONDS_MAX).ok_or(KeyFileError::Expiry)?;
        let NewKey { tenant, user, agent, scopes, roles, expires } = new;
        if !wire::acceptable(&roles) {
            return Err(KeyFileError::Entry { path: self.path.clone(), member: "roles" });
        }
        let id = KeyId::from_random(file::random()?);
        let secret = Secret::new(file::random()?);
        let code = self.code(id, &secret);
        let record = KeyRecord { id, tenant, user, agent, scopes, roles, created, expires, revoked: None };
        self.change(|keys| {
            if keys.len() >= limits::API_KEYS_MAX {
                return Err(KeyFileError::Full);
            }
            // Of 2^64 identifiers, one that is taken means that the randomness is none.
            if keys.contains_key(&id) {
                return Err(KeyFileError::Randomness);
            }
            keys.insert(id, Stored { record, code });
            Ok(())
        })?;
        Ok((id, credential::print(id, &secret)))
    }

    /// Revokes a key, in all processes that use the file. Once revoked, it stays so.
    ///
    /// # Errors
    /// [`KeyFileError`] if there is no such key or the file cannot be changed.
    pub fn revoke(&self, id: KeyId, now: Moment) -> Result<(), KeyFileError> {
        self.change(|keys| {
            let stored = keys.get_mut(&id).ok_or(KeyFileError::Unknown(id))?;
            stored.record.revoked.get_or_insert(now.unix_us / 1_000_000);
            Ok(())
        })
    }

    /// The keys, revoked and expired ones included, in the order of their identifiers.
    ///
    /// # Errors
    /// [`KeyFileError`] if the file cannot be read or trusted.
    pub fn list(&self) -> Result<Vec<KeyRecord>, KeyFileError> {
        let (keys, _) = self.load()?;
        Ok(keys.into_values().map(|stored| stored.record).collect())
    }

    /// The caller that a key stands for.
    ///
    /// # Errors
    /// [`Refused`] for a key that is malformed, unknown, wrong, revoked or expired: outwardly all the same.
    pub fn authenticate(&self, text: &str, now: Moment) -> Result<Caller, Refused> {
        let keys = self.current().map_err(Why::ApiKeyFile)?;
        let (id, secret) = credential::parse(text).ok_or(Why::ApiKeyForm)?;
        // The code is made and compared before anything is known about the key, so that its name costs no less time
        // if it is unknown.
        let found = keys.get(&id);
        let code = Secret::new(self.code(id, &secret));
        let fits = code == Secret::new(found.map_or([0; 32], |stored| stored.code));
        let record = &found.ok_or(Why::ApiKeyUnknown)?.record;
        if !fits {
            return Err(Why::ApiKeySecret.into());
        }
        if record.revoked.is_some() {
            return Err(Why::ApiKeyRevoked.into());
        }
        if now.unix_us / 1_000_000 >= record.expires {
            return Err(Why::ApiKeyExpired.into());
        }
        let KeyRecord { tenant, user, agent, mut scopes, roles, .. } = record.clone();
        scopes.extend(self.roles.expand(roles.iter().map(String::as_str)));
        Ok(Caller::authenticated(IdentityKind::ApiKey, tenant, user, agent, scopes))
    }

    /// The keys as the file has them now.
    fn current(&self) -> Result<Arc<Keys>, Arc<KeyFileError>> {
        let stamp = file::stamp(&self.path)?;
        if let Some(seen) = &*self.seen.read().unwrap_or_else(PoisonError::into_inner)
            && seen.stamp == stamp
        {
            return seen.keys.clone();
        }
        let (keys, stamp) = match self.load() {
            Ok((keys, stamp)) => (Ok(Arc::new(keys)), stamp),
            // A disk that fails may work a moment later, and the file will look the same.
            Err(error @ KeyFileError::File { .. }) => return Err(Arc::new(error)),
            Err(error) => (Err(Arc::new(error)), stamp),
        };
        *self.seen.write().unwrap_or_else(PoisonError::into_inner) = Some(Seen { stamp, keys: keys.clone() });
        keys
    }

    fn load(&self) -> Result<(Keys, Stamp), KeyFileError> {
        let found = file::read(&self.path, limits::API_KEY_FILE_BYTES_MAX)?;
        let (bytes, stamp) =
            found.ok_or_else(|| file::failed("read", &self.path, std::io::ErrorKind::NotFound.into()))?;
        Ok((wire::parse(&self.path, &bytes)?, stamp))
    }

    fn change(&self, change: impl FnOnce(&mut Keys) -> Result<(), KeyFileError>) -> Result<(), KeyFileError> {
        let lock = Lock::take(&self.path.with_extension("lock"))?;
        let (mut keys, _) = self.load()?;
        change(&mut keys)?;
        file::replace(&self.path, &wire::print(&self.path, &keys)?, &lock)?;
        // The next use reads the file, even if the file system's clock has not moved on.
        *self.seen.write().unwrap_or_else(PoisonError::into_inner) = None;
        Ok(())
    }

    /// HMAC-SHA-256 (RFC 2104) under the pepper. Domain and parts have fixed lengths.
    fn code(&self, id: KeyId, secret: &Secret<[u8; 32]>) -> [u8; 32] {
        // A key of 32 bytes is shorter than a block, so it is padded with zeros (RFC 2104, section 2).
        let mut block = [0; 64];
        for (slot, byte) in block.iter_mut().zip(self.pepper.expose()) {
            *slot = *byte;
        }
        let mut mac = Hmac::<Sha256>::new(&block.into());
        block.zeroize();
        mac.update(DOMAIN);
        mac.update(id.to_string().as_bytes());
        mac.update(secret.expose());
        mac.finalize().into_bytes().into()
    }
}
