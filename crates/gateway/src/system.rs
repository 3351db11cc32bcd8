//! The machine behind the core's ports: clock, randomness, file system.

use std::ffi::OsString;
use std::os::unix::fs::DirEntryExt as _;
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use refmon_core::ports::{Clock, Entropy, Fault, Files, Location, Moment};
use rustix::fs::{FileType, PROC_SUPER_MAGIC, Stat, stat};

/// The machine.
#[derive(Debug)]
pub struct System {
    start: Instant,
    guarded: Vec<PathBuf>,
    kept: Vec<PathBuf>,
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
        Self { start: Instant::now(), guarded: guarded.into_iter().collect(), kept: Vec::new() }
    }

    /// The same, with files that tools may read and not change: the programs of tool servers, which refmon starts.
    #[must_use]
    pub fn keeping(self, kept: impl IntoIterator<Item = PathBuf>) -> Self {
        Self { kept: kept.into_iter().collect(), ..self }
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
        let Resolved { folder, missing, personal } = resolve(Path::new(absolute)).map_err(fault("the path"))?;
        let found = stat(&folder).ok();
        let personal = personal || found.as_ref().is_some_and(is_device);
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
            Ok(identity) => {
                lies_in(&folder, &identity) || found.as_ref().is_none_or(|found| shares_a_file(own, &identity, found))
            }
            Err(_) => canonical.starts_with(own) || whole(own).is_ok_and(|own| canonical.starts_with(own)),
        });
        let there = found.as_ref().filter(|_| missing.is_empty());
        let kept =
            there.is_some_and(|found| self.kept.iter().any(|own| stat(own).is_ok_and(|own| is_one(&own, found))));
        let encloses = kept
            || there.filter(|found| is_folder(found)).is_some_and(|found| {
                // By the links that lead to it, and by where it is.
                let lies = |own: &PathBuf| lies_in(own, found) || whole(own).is_ok_and(|own| lies_in(&own, found));
                self.guarded.iter().any(lies)
            });
        Ok(Location { canonical: canonical_text, root, exists: missing.is_empty(), guarded, encloses, personal })
    }
}

/// A path as the kernel would follow it, with its part that does not exist.
fn whole(path: &Path) -> std::io::Result<PathBuf> {
    let Resolved { mut folder, missing, .. } = resolve(path)?;
    folder.extend(missing);
    Ok(folder)
}

/// Whether two are one file.
fn is_one(one: &Stat, other: &Stat) -> bool {
    (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)
}

fn is_folder(found: &Stat) -> bool {
    FileType::from_raw_mode(found.st_mode) == FileType::Directory
}

/// Whether a path or one of its folders is this very file or folder, however it is spelled.
fn lies_in(path: &Path, identity: &Stat) -> bool {
    path.ancestors().any(|folder| stat(folder).is_ok_and(|found| is_one(&found, identity)))
}

/// Whether a file has another name somewhere in a folder: a hard link. What cannot be looked at is taken for one.
fn shares_a_file(folder: &Path, identity: &Stat, found: &Stat) -> bool {
    let several = FileType::from_raw_mode(found.st_mode) == FileType::RegularFile && found.st_nlink > 1;
    // A hard link does not leave its file system.
    if !several || !is_folder(identity) || found.st_dev != identity.st_dev {
        return false;
    }
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { return true };
        for entry in entries {
            let Ok(entry) = entry else { return true };
            if entry.ino() == found.st_ino {
                return true;
            }
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push(entry.path());
            }
        }
    }
    false
}

/// Whether a file is a device that is more than a source or a sink of bytes: a terminal, memory, a disk.
fn is_device(found: &Stat) -> bool {
    match FileType::from_raw_mode(found.st_mode) {
        FileType::BlockDevice => true,
        // null, zero, full, random and urandom (Linux, admin-guide/devices.txt).
        FileType::CharacterDevice => {
            let device = (rustix::fs::major(found.st_rdev), rustix::fs::minor(found.st_rdev));
            !matches!(device, (1, 3 | 5 | 7 | 8 | 9))
        }
        _ => false,
    }
}

/// Where a path leads.
struct Resolved {
    /// The longest part that exists.
    folder: PathBuf,
    /// The plain names behind it.
    missing: Vec<String>,
    /// Whether the way led into the process file system, or is the terminal: another place for each process.
    personal: bool,
}

/// Symbolic links on one way (path_resolution(7)).
const LINKS_MAX: usize = 40;

/// Follows a path as the kernel would, link by link, and sees what lies on the way.
fn resolve(path: &Path) -> std::io::Result<Resolved> {
    let mut found =
        Resolved { folder: PathBuf::from("/"), missing: Vec::new(), personal: path == Path::new("/dev/tty") };
    let mut device = rustix::fs::stat("/")?.st_dev;
    let mut links = 0;
    // The names that are still to go, the next one last, and whether a link gave them.
    let names = |path: &Path, linked: bool| -> Vec<(OsString, bool)> {
        path.components().rev().map(|component| (component.as_os_str().to_owned(), linked)).collect()
    };
    let mut ahead = names(path, false);
    while let Some((name, linked)) = ahead.pop() {
        if name == "/" {
            found.folder = PathBuf::from("/");
            device = rustix::fs::stat("/")?.st_dev;
        } else if name == ".." && found.missing.is_empty() {
            found.folder.pop();
            device = rustix::fs::stat(&found.folder)?.st_dev;
        } else if name == ".." {
            return Err(std::io::Error::other("`..` behind a folder that does not exist"));
        } else if name == "." {
        } else if !found.missing.is_empty() {
            found.missing.push(name.to_string_lossy().into_owned());
        } else {
            let next = found.folder.join(&name);
            match rustix::fs::lstat(&next) {
                Ok(there) if FileType::from_raw_mode(there.st_mode) == FileType::Symlink => {
                    links += 1;
                    if links > LINKS_MAX {
                        return Err(std::io::Error::other("too many symbolic links"));
                    }
                    ahead.extend(names(&std::fs::read_link(&next)?, true));
                }
                Ok(there) => {
                    found.folder = next;
                    if there.st_dev != device {
                        device = there.st_dev;
                        if rustix::fs::statfs(&found.folder)?.f_type == PROC_SUPER_MAGIC {
                            // Nothing is gained by following what is a link in there to somewhere else.
                            found.personal = true;
                            found.folder.extend(ahead.into_iter().rev().map(|(name, _)| name));
                            return Ok(found);
                        }
                    }
                }
                Err(rustix::io::Errno::NOENT) if linked => {
                    return Err(std::io::Error::other("a symbolic link whose target does not exist"));
                }
                Err(rustix::io::Errno::NOENT) => found.missing.push(name.to_string_lossy().into_owned()),
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(found)
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

    // Found here: `ln policies/x.cedar sandbox/y`, and `y` was a file like any other.
    #[test]
    fn a_hard_link_to_a_file_in_a_guarded_folder_is_that_file() {
        let folder = tree();
        let base = folder.path().canonicalize().unwrap();
        std::fs::create_dir(base.join("outside/deep")).unwrap();
        std::fs::write(base.join("outside/deep/key"), "x").unwrap();
        for (from, to) in [("outside/secret", "root/a"), ("outside/deep/key", "root/b"), ("root/a.txt", "root/c")] {
            std::fs::hard_link(base.join(from), base.join(to)).unwrap();
        }
        let system = System::guarding([base.join("outside")]);
        for (path, guarded) in
            [("root/a", true), ("root/b", true), ("root/c", false), ("root/a.txt", false), ("root", false)]
        {
            let absolute = format!("{}/{path}", base.display());
            assert_eq!(system.locate(&absolute, std::slice::from_ref(&base)).unwrap().guarded, guarded, "{path}");
        }
    }

    // Found here: what was written into a tool server's own script ran with the next session.
    #[test]
    fn what_refmon_starts_is_kept_from_tools_that_change_files() {
        let folder = tree();
        let base = folder.path().canonicalize().unwrap();
        std::fs::hard_link(base.join("root/a.txt"), base.join("root/link")).unwrap();
        symlink(base.join("root/a.txt"), base.join("root/way")).unwrap();
        let system = System::new().keeping([base.join("way-in/a.txt")]);
        for (path, kept) in
            [("root/a.txt", true), ("root/link", true), ("root/way", true), ("root/sub", false), ("root", false)]
        {
            let found = system.locate(&format!("{}/{path}", base.display()), &[]).unwrap();
            assert_eq!((found.encloses, found.guarded), (kept, false), "{path}");
        }
    }

    #[test]
    fn a_device_is_no_file_unless_it_only_gives_or_swallows_bytes() {
        for (path, personal) in [
            ("/dev/null", false),
            ("/dev/zero", false),
            ("/dev/urandom", false),
            ("/dev/../dev/tty", true),
            ("/dev/ptmx", true),
        ] {
            if Path::new(path).exists() {
                assert_eq!(System::new().locate(path, &[]).unwrap().personal, personal, "{path}");
            }
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
    fn what_is_another_place_for_each_process_is_seen_by_every_way_there() {
        let folder = tree();
        let base = folder.path().canonicalize().unwrap();
        symlink("/proc", base.join("root/p")).unwrap();
        symlink("/dev/stdin", base.join("root/in")).unwrap();
        for path in [
            "/proc/self/cwd/refmon.toml",
            "/proc/self/fd/0",
            "/proc/thread-self/fd/0",
            "/proc/1/root/etc/passwd",
            "/dev/../proc/self/root/x",
            "/dev/stdin",
            "/dev/stderr",
            "/dev/fd/0",
            "/dev/fd/77",
            "/dev/tty",
            "/proc",
        ] {
            assert!(System::new().locate(path, &[]).unwrap().personal, "{path}");
        }
        for (path, personal) in
            [("root/p/self/cwd", true), ("root/in", true), ("root/a.txt", false), ("root/new", false)]
        {
            assert_eq!(locate(folder.path(), path).unwrap().personal, personal, "{path}");
        }
        assert!(!System::new().locate("/process/x", &[]).unwrap().personal);
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
