//! The machine behind the core's ports: clock, randomness, file system.

use std::path::{Component, Path, PathBuf};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use refmon_core::ports::{Clock, Entropy, Fault, Files, Location, Moment};
use rustix::fs::{Stat, stat};

/// The machine.
#[derive(Debug)]
pub struct System {
    start: Instant,
    guarded: Vec<PathBuf>,
}

impl System {
    /// Takes the start of the monotonic clock.
    #[must_use]
    pub fn new() -> Self {
        Self::guarding([])
    }

    /// The same, with files and folders that no tool's path may lead to.
    #[must_use]
    pub fn guarding(guarded: impl IntoIterator<Item = PathBuf>) -> Self {
        Self { start: Instant::now(), guarded: guarded.into_iter().collect() }
    }
}

impl Default for System {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for System {
    fn now(&self) -> Moment {
        #[expect(clippy::disallowed_methods, reason = "this is the `Clock` port")]
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Moment {
            unix_us: u64::try_from(wall.as_micros()).unwrap_or(u64::MAX),
            monotonic_ns: u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX),
        }
    }
}

impl Entropy for System {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), Fault> {
        getrandom::fill(buffer).map_err(|error| Fault::caused("the system's randomness", error))
    }
}

impl Files for System {
    fn locate(&self, absolute: &str, roots: &[PathBuf]) -> Result<Location, Fault> {
        let fault = |what| move |error: std::io::Error| Fault::caused(what, error);
        let (folder, missing) = resolve(Path::new(absolute)).map_err(fault("the path"))?;
        let mut canonical = folder.clone();
        canonical.extend(&missing);
        let canonical_text = canonical.to_str().ok_or(Fault::unavailable("a path in UTF-8"))?.to_owned();
        let mut root = None;
        for (index, candidate) in roots.iter().enumerate() {
            let identity = stat(candidate).map_err(|error| Fault::caused("a root of the contract", error))?;
            if lies_in(&folder, &identity) {
                root = Some(index);
                break;
            }
        }
        // A guarded file that does not exist yet is guarded by its name, wherever the links in that lead by now.
        let guarded = self.guarded.iter().any(|own| match stat(own) {
            Ok(identity) => lies_in(&folder, &identity),
            Err(_) => canonical.starts_with(own) || whole(own).is_ok_and(|own| canonical.starts_with(own)),
        });
        let encloses = missing.is_empty() && folder.is_dir() && {
            let identity = stat(&folder).map_err(|error| Fault::caused("the path", error))?;
            // By the links that lead to it, and by where it is.
            let lies = |own: &PathBuf| lies_in(own, &identity) || whole(own).is_ok_and(|own| lies_in(&own, &identity));
            self.guarded.iter().any(lies)
        };
        Ok(Location { canonical: canonical_text, root, exists: missing.is_empty(), guarded, encloses })
    }
}

/// A path as the kernel would follow it, with its part that does not exist.
fn whole(path: &Path) -> std::io::Result<PathBuf> {
    let (mut folder, missing) = resolve(path)?;
    folder.extend(missing);
    Ok(folder)
}

/// Whether a path or one of its folders is this very file or folder, however it is spelled.
fn lies_in(path: &Path, identity: &Stat) -> bool {
    path.ancestors().any(|folder| {
        stat(folder).is_ok_and(|found| (found.st_dev, found.st_ino) == (identity.st_dev, identity.st_ino))
    })
}

/// Follows a path as the kernel would: the longest part that exists, resolved, and the plain names behind it.
fn resolve(path: &Path) -> std::io::Result<(PathBuf, Vec<String>)> {
    let mut folder = PathBuf::from("/");
    let mut missing: Vec<String> = Vec::new();
    for component in path.components() {
        match component {
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
            Component::ParentDir if missing.is_empty() => drop(folder.pop()),
            Component::ParentDir => return Err(std::io::Error::other("`..` behind a folder that does not exist")),
            Component::Normal(name) if missing.is_empty() => match folder.join(name).canonicalize() {
                Ok(resolved) => folder = resolved,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                    // A link to nowhere exists itself: what would be created is at its target.
                    if folder.join(name).symlink_metadata().is_ok() {
                        return Err(std::io::Error::other("a symbolic link whose target does not exist"));
                    }
                    missing.push(name.to_string_lossy().into_owned());
                }
                Err(error) => return Err(error),
            },
            Component::Normal(name) => missing.push(name.to_string_lossy().into_owned()),
        }
    }
    Ok((folder, missing))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn tree() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("root/sub")).unwrap();
        std::fs::create_dir_all(folder.path().join("outside")).unwrap();
        std::fs::write(folder.path().join("root/a.txt"), "a").unwrap();
        std::fs::write(folder.path().join("outside/secret"), "s").unwrap();
        symlink(folder.path().join("outside"), folder.path().join("root/way-out")).unwrap();
        symlink(folder.path().join("root"), folder.path().join("way-in")).unwrap();
        symlink("nowhere", folder.path().join("root/dangling")).unwrap();
        symlink("loop", folder.path().join("root/loop")).unwrap();
        folder
    }

    fn locate(folder: &Path, path: &str) -> Result<Location, Fault> {
        let absolute = format!("{}/{path}", folder.canonicalize().unwrap().display());
        System::new().locate(&absolute, &[folder.join("root")])
    }

    #[test]
    fn a_path_is_inside_by_where_it_leads_not_how_it_is_spelled() {
        let folder = tree();
        for (path, inside, exists) in [
            ("root/a.txt", true, true),
            ("root/./sub/../a.txt", true, true),
            ("root", true, true),
            ("root/new/deep/file", true, false),
            ("way-in/a.txt", true, true),
            ("root/../outside/secret", false, true),
            ("root/way-out/secret", false, true),
            ("root/way-out/new", false, false),
            ("rootless", false, false),
            ("root2/a.txt", false, false),
            ("outside/secret", false, true),
        ] {
            let found = locate(folder.path(), path).unwrap();
            assert_eq!((found.root.is_some(), found.exists), (inside, exists), "{path}");
        }
    }

    #[test]
    fn refmons_own_files_are_guarded_by_identity_and_by_name() {
        let folder = tree();
        let base = folder.path().canonicalize().unwrap();
        symlink(base.join("outside"), base.join("root/link")).unwrap();
        let system = System::guarding([base.join("outside"), base.join("root/refmon.toml")]);
        for (path, guarded) in
            [("outside/secret", true), ("root/link/new", true), ("root/refmon.toml", true), ("root/a.txt", false)]
        {
            let absolute = format!("{}/{path}", base.display());
            assert_eq!(system.locate(&absolute, std::slice::from_ref(&base)).unwrap().guarded, guarded, "{path}");
        }
    }

    #[test]
    fn a_folder_encloses_what_is_guarded_below_it_by_every_way_there() {
        let folder = tree();
        let base = folder.path().canonicalize().unwrap();
        std::fs::create_dir(base.join("root/links")).unwrap();
        symlink(base.join("outside"), base.join("root/links/own")).unwrap();
        let system = System::guarding([base.join("root/links/own"), base.join("root/sub/../new/refmon.toml")]);
        for (path, encloses) in [
            ("", true),
            ("root", true),
            ("way-in", true),
            ("root/links", true),
            ("root/sub", true),
            ("root/a.txt", false),
            ("root/missing", false),
        ] {
            let absolute = format!("{}/{path}", base.display());
            assert_eq!(system.locate(&absolute, std::slice::from_ref(&base)).unwrap().encloses, encloses, "{path}");
        }
        for path in ["root/new/refmon.toml", "outside/secret", "way-in/new/refmon.toml"] {
            let absolute = format!("{}/{path}", base.display());
            assert!(system.locate(&absolute, std::slice::from_ref(&base)).unwrap().guarded, "{path}");
        }
    }

    #[test]
    fn what_cannot_be_resolved_is_a_fault() {
        let folder = tree();
        for path in ["root/missing/../a.txt", "root/loop", "root/dangling", "root/a.txt/b", "root/dangling/x"] {
            assert!(locate(folder.path(), path).is_err(), "{path}");
        }
        assert!(System::new().locate("/", &[PathBuf::from("/no/such/root")]).is_err());
    }
}
