//! Commitments, handles and the keys under them.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::thread;

use refmon_audit::commitments::{KeyError, KeyFolder};
use refmon_core::caller::Caller;
use refmon_core::ids::{AgentId, TenantId, UserId};
use refmon_core::ports::Commitments as _;

use crate::support;

fn caller(tenant: &str, user: &str) -> Caller {
    Caller::local(TenantId::parse(tenant).unwrap(), UserId::parse(user).unwrap(), AgentId::parse("a").unwrap(), [])
}

#[test]
fn a_handle_stays_and_differs_by_tenant_and_user() {
    let folder = support::folder();
    let path = folder.path().join("keys");
    let keys = KeyFolder::open(&path).unwrap();
    let handle = keys.subject(&caller("acme", "ann")).unwrap();
    assert_eq!(keys.subject(&caller("acme", "ann")).unwrap(), handle);
    assert_eq!(KeyFolder::open(&path).unwrap().subject(&caller("acme", "ann")).unwrap(), handle);
    assert_ne!(keys.subject(&caller("acme", "bob")).unwrap(), handle);
    assert_ne!(keys.subject(&caller("other", "ann")).unwrap(), handle);
    // Where tenant ends and user begins is part of the name.
    assert_ne!(keys.subject(&caller("ab", "c")).unwrap(), keys.subject(&caller("a", "bc")).unwrap());
}

#[test]
fn a_commitment_opens_with_its_bytes_and_its_subject_only() {
    let folder = support::folder();
    let keys = KeyFolder::open(&folder.path().join("keys")).unwrap();
    let ann = caller("acme", "ann");
    let commitment = keys.commit(&ann, b"{\"path\":\"a\"}").unwrap();
    assert!(keys.opens(&ann, &commitment, b"{\"path\":\"a\"}").unwrap());
    assert!(!keys.opens(&ann, &commitment, b"{\"path\":\"b\"}").unwrap());
    assert!(!keys.opens(&caller("acme", "bob"), &commitment, b"{\"path\":\"a\"}").unwrap());
    assert_ne!(keys.commit(&ann, b"{\"path\":\"a\"}").unwrap(), commitment, "the salt is fresh");
}

#[test]
fn no_file_name_or_content_names_a_person() {
    let folder = support::folder();
    let path = folder.path().join("keys");
    let keys = KeyFolder::open(&path).unwrap();
    keys.subject(&caller("acme", "ann.smith@example.org")).unwrap();
    for entry in fs::read_dir(&path).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let bytes = fs::read(entry.path()).unwrap();
        for text in [entry.file_name().to_string_lossy().into_owned(), String::from_utf8_lossy(&bytes).into_owned()] {
            assert!(!text.contains("smith") && !text.contains("acme"), "{text}");
        }
    }
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn a_key_that_others_can_read_is_refused_with_advice() {
    let folder = support::folder();
    let path = folder.path().join("keys");
    drop(KeyFolder::open(&path).unwrap());
    fs::set_permissions(path.join("master"), fs::Permissions::from_mode(0o640)).unwrap();
    let error = KeyFolder::open(&path).unwrap_err();
    assert!(matches!(error, KeyError::Exposed { .. }));
    assert!(error.to_string().contains("chmod go="), "{error}");
    fs::set_permissions(path.join("master"), fs::Permissions::from_mode(0o600)).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    assert!(matches!(KeyFolder::open(&path), Err(KeyError::Exposed { .. })));
}

#[test]
fn a_destroyed_key_ends_commitments_and_is_not_made_anew() {
    let folder = support::folder();
    let path = folder.path().join("keys");
    let ann = caller("acme", "ann");
    let handle = KeyFolder::open(&path).unwrap().subject(&ann).unwrap();
    fs::remove_file(path.join(format!("{handle}.key"))).unwrap();
    assert!(KeyFolder::open(&path).unwrap().subject(&ann).is_err());
}

#[test]
fn a_torn_key_file_is_refused() {
    let folder = support::folder();
    let path = folder.path().join("keys");
    drop(KeyFolder::open(&path).unwrap());
    fs::write(path.join("master"), b"short").unwrap();
    assert!(matches!(KeyFolder::open(&path), Err(KeyError::Torn { .. })));
}

#[test]
fn many_openers_agree_on_one_handle_and_leave_one_key() {
    let folder = support::folder();
    let path = folder.path().join("keys");
    let handles: Vec<_> = thread::scope(|scope| {
        let openers: Vec<_> = (0..16)
            .map(|_| scope.spawn(|| KeyFolder::open(&path).unwrap().subject(&caller("acme", "ann")).unwrap()))
            .collect();
        openers.into_iter().map(|opener| opener.join().unwrap()).collect()
    });
    assert!(handles.windows(2).all(|pair| pair[0] == pair[1]), "{handles:?}");
    let mut names: Vec<_> =
        fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names.len(), 3, "{names:?}");
}
