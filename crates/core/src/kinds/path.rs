//! Paths.
//!
//! A path is absolute, or relative to the contract's base folder if it has one; its `.` and `..` are resolved, and the part that
//! exists is followed through symbolic links by the file system itself ([`Files`]). A root contains a path if
//! one of the path's folders *is* the root (same device and inode), so that neither links nor a file system that
//! ignores case can spell their way out.
//!
//! Refused as ambiguous, because tools read them differently: a leading `~`, surrounding quotes or spaces, a
//! backslash, a `file:` URL, and a path in which `..` leads elsewhere when it is resolved before links are
//! followed than when it is resolved after. So is what leads through the process file system (`/proc/self/cwd`,
//! `/dev/stdin`): it is one place to refmon and another one to the tool.
//!
//! A path to refmon's own files (configuration, contracts, policies, evidence) is refused whatever the contract
//! says: an agent must not edit its guard. So is, for a tool that changes anything, a folder that they lie below: it could
//! be moved away, edited under its new name, and moved back.
//!
//! What a race can still do: between this judgement and the tool's own opening of the path, whoever may write
//! below a root can replace a folder by a symbolic link. The facts are then about the old tree. A tool that must
//! withstand that opens with `openat2(RESOLVE_BENEATH)` itself or runs in a sandbox; refmon judges the call, it
//! does not hold the file.

use std::path::{Path, PathBuf};

use super::{Answer, Obstacle, Refusal, Unfit, unfit};
use crate::facts::{Fact, FactType};
use crate::json::Json;
use crate::limits;
use crate::ports::Files;
use crate::reason::ReasonCode;

/// Facts of a path: `value` canonical path, `root` the containing root as the contract spells it or empty,
/// `inside` some root, `exists` now, `hidden` has a component that begins with a dot below the root, `name` last
/// component, `extension` lower case without the dot.
pub const FACTS: &[(&str, FactType)] = &[
    ("value", FactType::Text),
    ("root", FactType::Text),
    ("inside", FactType::Flag),
    ("exists", FactType::Flag),
    ("hidden", FactType::Flag),
    ("name", FactType::Text),
    ("extension", FactType::Text),
];

/// Where a path may be, and what for.
pub(super) struct Place<'a> {
    pub(super) roots: &'a [PathBuf],
    pub(super) base: Option<&'a Path>,
    /// Whether the tool may change what is there.
    pub(super) changes: bool,
}

pub(super) fn facts(text: &str, place: &Place<'_>, files: &dyn Files) -> Answer {
    let Place { roots, base, changes } = *place;
    let absolute = absolute(text, base)?;
    let location = files.locate(&absolute, roots).map_err(Unfit::Fault)?;
    if let Some(lexical) = without_dots(&absolute)
        && files.locate(&lexical, roots).map_err(Unfit::Fault)?.canonical != location.canonical
    {
        return Err(unfit(ReasonCode::AmbiguousText, "a path without `..` behind a symbolic link"));
    }
    if location.personal {
        return Err(unfit(ReasonCode::AmbiguousText, "a path that is the same place to every process"));
    }
    if location.guarded || (changes && location.encloses) {
        return Err(unfit(ReasonCode::GuardedPath, "a path that does not lead to refmon's own files"));
    }
    if !roots.is_empty() && location.root.is_none() {
        return Err(unfit(ReasonCode::OutsideRoots, "a path inside the folders that the contract allows"));
    }
    let root = location.root.and_then(|index| roots.get(index)).map(|root| root.display().to_string());
    let canonical = Path::new(&location.canonical);
    let lower =
        |part: Option<&std::ffi::OsStr>| part.map(|part| part.to_string_lossy().into_owned()).unwrap_or_default();
    let below = root.as_deref().and_then(|root| canonical.strip_prefix(root).ok()).unwrap_or(canonical);
    let hidden = below.components().any(|part| part.as_os_str().to_string_lossy().starts_with('.'));
    Ok([
        ("inside", Fact::Flag(location.root.is_some())),
        ("root", Fact::Text(root.unwrap_or_default())),
        ("exists", Fact::Flag(location.exists)),
        ("hidden", Fact::Flag(hidden)),
        ("name", Fact::Text(lower(canonical.file_name()))),
        ("extension", Fact::Text(lower(canonical.extension()).to_lowercase())),
        ("value", Fact::Text(location.canonical.clone())),
    ]
    .into())
}

/// Refuses parameters of a protocol method that name refmon's own files: every `uri` in them, and what is subscribed to.
pub(crate) fn no_files_of_ours(params: &Json<'_>, files: &dyn Files) -> Result<(), Obstacle> {
    params.as_list().unwrap_or_default().iter().try_for_each(|item| no_files_of_ours(item, files))?;
    for (key, value) in params.as_object().unwrap_or_default() {
        match value {
            Json::Text(uri) if key == "uri" => file_of(uri, files)?,
            Json::List(uris) if key == "resourceSubscriptions" => {
                uris.iter().filter_map(Json::as_text).try_for_each(|uri| file_of(uri, files))?;
            }
            inner => no_files_of_ours(inner, files)?,
        }
    }
    Ok(())
}

/// Refuses the URI of a resource that is one of refmon's own files (`file:`, RFC 8089), or cannot be told from one. Which
/// resources there are is the server's to say, so nothing else is known of them.
fn file_of(uri: &str, files: &dyn Files) -> Result<(), Obstacle> {
    let refused = |reason: ReasonCode, expected: &str| {
        Err(Obstacle::Refused(Refusal { reason, pointer: "/uri".to_owned(), expected: expected.to_owned() }))
    };
    let ambiguous = |expected| refused(ReasonCode::AmbiguousText, expected);
    // Some programs leave out what cannot stand in a URI (RFC 3986, section 2), and find another one.
    if !uri.bytes().all(|byte| byte.is_ascii_graphic() && !b"<>\"\\^`{|}".contains(&byte)) {
        return ambiguous("a URI of the characters that one may have, others percent-encoded");
    }
    let scheme = uri.split(':').next().unwrap_or_default();
    // Some programs take a bare path for a file's URI, and some `url:` for nothing.
    let bare = uri.starts_with(['/', '~', '.']) || scheme.eq_ignore_ascii_case("url");
    if !bare && !scheme.eq_ignore_ascii_case("file") {
        return Ok(());
    }
    let Some(path) = uri.strip_prefix("file://").filter(|rest| rest.starts_with('/') && !rest.contains(['?', '#']))
    else {
        return ambiguous("a file's URI of the form `file:///folder/name`");
    };
    let Some(path) = percent_encoding::percent_decode_str(path).decode_utf8().ok().filter(|path| !path.contains('%'))
    else {
        return ambiguous("a file's URI whose path is UTF-8 and is encoded once");
    };
    let place = Place { roots: &[], base: None, changes: false };
    match facts(&path, &place, files) {
        Ok(_) => Ok(()),
        Err(Unfit::Fault(fault)) => Err(Obstacle::Fault(fault)),
        Err(Unfit::Refused(reason, expected)) => refused(reason, &expected),
    }
}

/// Makes a path absolute without resolving anything: links decide what `..` means.
fn absolute(text: &str, base: Option<&Path>) -> Result<String, Unfit> {
    let ambiguous = |expected: &str| Err(unfit(ReasonCode::AmbiguousText, expected));
    let quote = |c| matches!(c, '"' | '\'' | '`');
    if text.is_empty() {
        return Err(unfit(ReasonCode::KindMismatch, "a path that is not empty"));
    }
    if text.len() > limits::PATH_BYTES_MAX {
        return Err(unfit(ReasonCode::KindMismatch, "a path of at most 4096 bytes"));
    }
    if text.starts_with('~') {
        return ambiguous("a path that does not begin with `~`");
    }
    if text.trim() != text || text.starts_with(quote) || text.ends_with(quote) {
        return ambiguous("a path without surrounding spaces and quotes");
    }
    if text.contains('\\') || text.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("file:")) {
        return ambiguous("a path with `/` between its components, not a URL");
    }
    let Some(base) = base.or_else(|| text.starts_with('/').then_some(Path::new("/"))) else {
        return ambiguous("an absolute path (the contract has no `base` for relative ones)");
    };
    let joined = base.join(text);
    joined.to_str().map(str::to_owned).ok_or_else(|| unfit(ReasonCode::AmbiguousText, "a path in UTF-8"))
}

/// The path with `.` and `..` resolved as text; `None` if it has no `..`.
fn without_dots(absolute: &str) -> Option<String> {
    absolute.split('/').any(|part| part == "..").then(|| {
        let mut kept: Vec<&str> = Vec::new();
        for part in absolute.split('/') {
            match part {
                "" | "." => {}
                ".." => drop(kept.pop()),
                name => kept.push(name),
            }
        }
        format!("/{}", kept.join("/"))
    })
}
