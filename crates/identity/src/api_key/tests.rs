use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use refmon_core::ids::{AgentId, Scope, TenantId, UserId};
use refmon_core::secret::Secret;

use super::{ApiKeys, KeyFileError, KeyId, NewKey, credential};
use crate::limits::API_KEY_SECONDS_MAX;
use crate::refused::{Outward, Why};
use crate::testing_tests::{NOW, at};

fn new(expires: u64) -> NewKey {
    NewKey {
        tenant: TenantId::parse("acme").unwrap(),
        user: UserId::parse("ada").unwrap(),
        agent: AgentId::parse("ci").unwrap(),
        scopes: vec![Scope::parse("mail:read").unwrap()],
        roles: vec![],
        expires,
    }
}

fn open(folder: &Path) -> ApiKeys {
    ApiKeys::open(folder).unwrap()
}

fn file(folder: &Path) -> PathBuf {
    folder.join("api-keys.json")
}

fn write(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
}

fn why(keys: &ApiKeys, text: &str) -> Why {
    let refused = keys.authenticate(text, at(NOW)).unwrap_err();
    assert_eq!((refused.outward(), refused.status()), (Outward::Invalid, 401));
    refused.why().clone()
}

#[test]
fn a_key_gives_the_caller_that_it_was_issued_for_until_it_expires() {
    let folder = tempfile::tempdir().unwrap();
    let keys = open(folder.path());
    let (id, key) = keys.issue(new(NOW + 60), at(NOW)).unwrap();
    assert_eq!(key.expose().len(), 67);
    assert!(key.expose().starts_with(&format!("refmon_{id}_")));
    for keys in [&keys, &open(folder.path())] {
        let caller = keys.authenticate(key.expose(), at(NOW + 59)).unwrap();
        assert_eq!((caller.tenant().as_str(), caller.user().as_str(), caller.agent().as_str()), ("acme", "ada", "ci"));
        assert_eq!(caller.scopes()[0].as_str(), "mail:read");
    }
    assert!(matches!(keys.authenticate(key.expose(), at(NOW + 60)).unwrap_err().why(), Why::ApiKeyExpired));
    let listed = keys.list().unwrap();
    assert_eq!((listed.len(), listed[0].id, listed[0].created, listed[0].expires), (1, id, NOW, NOW + 60));
}

#[test]
fn the_files_are_private_and_hold_no_secret() {
    let folder = tempfile::tempdir().unwrap();
    let (_, key) = open(folder.path()).issue(new(NOW + 60), at(NOW)).unwrap();
    let secret = &key.expose()[24..];
    for name in ["api-keys.json", "api-keys.pepper", "api-keys.lock"] {
        let path = folder.path().join(name);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600, "{name}");
        assert!(!String::from_utf8_lossy(&fs::read(&path).unwrap()).contains(secret), "{name}");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3, "no draft is left");
    assert_eq!(fs::read(folder.path().join("api-keys.pepper")).unwrap().len(), 32);
}

#[test]
fn a_key_revoked_by_another_process_stops_at_once_and_stays_so() {
    let folder = tempfile::tempdir().unwrap();
    let (serving, operating) = (open(folder.path()), open(folder.path()));
    let (id, key) = operating.issue(new(NOW + 60), at(NOW)).unwrap();
    let (_, other) = operating.issue(new(NOW + 60), at(NOW)).unwrap();
    assert!(serving.authenticate(key.expose(), at(NOW)).is_ok());
    operating.revoke(id, at(NOW + 1)).unwrap();
    assert!(matches!(why(&serving, key.expose()), Why::ApiKeyRevoked));
    assert!(serving.authenticate(other.expose(), at(NOW)).is_ok());
    operating.revoke(id, at(NOW + 9)).unwrap();
    let listed = operating.list().unwrap();
    assert_eq!(listed.iter().find(|record| record.id == id).unwrap().revoked, Some(NOW + 1));
    let unknown = KeyId::parse("0123456789abcdef").unwrap();
    assert!(matches!(operating.revoke(unknown, at(NOW)), Err(KeyFileError::Unknown(_))));
}

#[test]
fn all_wrong_keys_look_the_same_from_outside() {
    let folder = tempfile::tempdir().unwrap();
    let keys = open(folder.path());
    let (id, key) = keys.issue(new(NOW + 60), at(NOW)).unwrap();
    let (other, _) = keys.issue(new(NOW + 60), at(NOW)).unwrap();
    let text = key.expose();
    let secret = &text[24..];
    assert!(matches!(why(&keys, &format!("refmon_{other}_{secret}")), Why::ApiKeySecret), "the secret of another key");
    assert!(matches!(why(&keys, &format!("refmon_0123456789abcdef_{secret}")), Why::ApiKeyUnknown));
    assert!(matches!(why(&keys, &format!("refmon_{id}_{}", "A".repeat(43))), Why::ApiKeySecret));
    let malformed = [
        String::new(),
        "refmon_".to_owned(),
        text.to_uppercase(),
        text.replace("refmon", "Refmon"),
        format!("{text}="),
        format!("{text} "),
        format!("{text}A"),
        text[..66].to_owned(),
        format!("refmon_{id}{secret}_"),
        format!("refmon_é{}", &text[9..]),
        // 32 bytes are 43 digits, and the last has two spare bits.
        format!("refmon_{id}_{}B", "A".repeat(42)),
    ];
    for text in malformed {
        assert!(matches!(why(&keys, &text), Why::ApiKeyForm), "{text}");
    }
}

#[test]
fn an_expiry_is_required_and_at_most_a_year_away() {
    let folder = tempfile::tempdir().unwrap();
    let keys = open(folder.path());
    for expires in [0, NOW - 1, NOW, NOW + API_KEY_SECONDS_MAX + 1, u64::MAX] {
        assert!(matches!(keys.issue(new(expires), at(NOW)), Err(KeyFileError::Expiry)), "{expires}");
    }
    assert!(keys.issue(new(NOW + API_KEY_SECONDS_MAX), at(NOW)).is_ok());
    // Nor can the file be edited to say otherwise.
    let text = fs::read_to_string(file(folder.path())).unwrap();
    write(&file(folder.path()), &text.replace(&(NOW + API_KEY_SECONDS_MAX).to_string(), "99999999999"));
    assert!(matches!(keys.list(), Err(KeyFileError::Entry { member: "expires", .. })));
}

#[test]
fn a_broken_file_refuses_everybody_and_says_so_to_the_operator() {
    let folder = tempfile::tempdir().unwrap();
    let keys = open(folder.path());
    let (id, key) = keys.issue(new(NOW + 60), at(NOW)).unwrap();
    let path = file(folder.path());
    let whole = fs::read_to_string(&path).unwrap();
    let refused = |text: &str| {
        write(&path, text);
        let Why::ApiKeyFile(error) = why(&keys, key.expose()) else { panic!("the file is believed: {text}") };
        assert!(ApiKeys::open(folder.path()).is_err() && keys.issue(new(NOW + 60), at(NOW)).is_err());
        error.to_string()
    };
    let id = id.to_string();
    for (text, expected) in [
        (String::new(), "no single reading"),
        (whole[..whole.len() / 2].to_owned(), "no single reading"),
        (whole.replacen("\"version\": 1", "\"version\": 2", 1), "`version`"),
        (whole.replacen("\"version\"", "\"extra\": 1, \"version\"", 1), "not a file of API keys"),
        (whole.replacen("\"revoked\": null", "\"revoked\": 1, \"revoked\": null", 1), "no single reading"),
        (whole.replacen("\"tenant\": \"acme\"", "\"tenant\": \"\"", 1), "`tenant`"),
        (whole.replacen("\"code\": \"", "\"code\": \"A", 1), "`code`"),
        (whole.replacen(&id, "ABCDEF0123456789", 1), "`id`"),
        (whole.replacen("\"expires\":", "\"expire\":", 1), "not a file of API keys"),
    ] {
        let error = refused(&text);
        assert!(error.contains(expected), "{error}");
    }
    let entry = &whole[whole.find('[').unwrap() + 1..whole.rfind(']').unwrap()];
    let twice = whole.replacen(entry, &format!("{},{entry}", entry.trim_end()), 1);
    assert!(refused(&twice).contains("`id`"));
    fs::remove_file(&path).unwrap();
    assert!(matches!(why(&keys, key.expose()), Why::ApiKeyFile(_)));
    write(&path, &whole);
    assert!(keys.authenticate(key.expose(), at(NOW)).is_ok(), "a repaired file is believed again");
}

#[test]
fn files_that_others_can_read_are_not_believed() {
    let folder = tempfile::tempdir().unwrap();
    let keys = open(folder.path());
    let (_, key) = keys.issue(new(NOW + 60), at(NOW)).unwrap();
    let path = file(folder.path());
    for mode in [0o640, 0o604, 0o620, 0o610] {
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        let Why::ApiKeyFile(error) = why(&keys, key.expose()) else { panic!("mode {mode:o} is believed") };
        assert!(matches!(*error, KeyFileError::Exposed { .. }));
        assert!(matches!(ApiKeys::open(folder.path()), Err(KeyFileError::Exposed { .. })));
    }
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    assert!(keys.authenticate(key.expose(), at(NOW)).is_ok());
    let aside = folder.path().join("aside");
    fs::rename(&path, &aside).unwrap();
    symlink(&aside, &path).unwrap();
    assert!(matches!(why(&keys, key.expose()), Why::ApiKeyFile(_)), "a link is not followed");
}

#[test]
fn keys_without_their_pepper_are_not_believed() {
    let folder = tempfile::tempdir().unwrap();
    open(folder.path());
    let pepper = folder.path().join("api-keys.pepper");
    write(&pepper, "short");
    assert!(matches!(ApiKeys::open(folder.path()), Err(KeyFileError::Pepper { .. })));
    write(&pepper, &"x".repeat(33));
    assert!(ApiKeys::open(folder.path()).is_err());
    fs::remove_file(&pepper).unwrap();
    assert!(matches!(ApiKeys::open(folder.path()), Err(KeyFileError::Pepper { .. })));
    fs::remove_file(file(folder.path())).unwrap();
    assert!(ApiKeys::open(folder.path()).is_ok());
}

#[test]
fn a_copy_of_the_file_under_another_pepper_opens_nothing() {
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (_, key) = open(folder.path()).issue(new(NOW + 60), at(NOW)).unwrap();
    let keys = open(other.path());
    write(&file(other.path()), &fs::read_to_string(file(folder.path())).unwrap());
    assert!(matches!(why(&keys, key.expose()), Why::ApiKeySecret));
}

#[test]
fn a_code_that_is_copied_to_another_entry_opens_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let keys = open(folder.path());
    let (id, key) = keys.issue(new(NOW + 60), at(NOW)).unwrap();
    let path = file(folder.path());
    let renamed = "0123456789abcdef";
    write(&path, &fs::read_to_string(&path).unwrap().replace(&id.to_string(), renamed));
    assert!(matches!(why(&keys, &key.expose().replace(&id.to_string(), renamed)), Why::ApiKeySecret));
}

#[test]
fn whoever_changes_the_file_at_the_same_time_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    open(folder.path());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let keys = open(folder.path());
                for _ in 0..5 {
                    let (id, key) = keys.issue(new(NOW + 60), at(NOW)).unwrap();
                    assert!(keys.authenticate(key.expose(), at(NOW)).is_ok());
                    keys.revoke(id, at(NOW)).unwrap();
                    assert!(keys.authenticate(key.expose(), at(NOW)).is_err());
                }
            });
        }
    });
    let listed = open(folder.path()).list().unwrap();
    assert_eq!((listed.len(), listed.iter().filter(|record| record.revoked.is_some()).count()), (20, 20));
}

#[test]
fn no_secret_is_printed() {
    let folder = tempfile::tempdir().unwrap();
    let keys = open(folder.path());
    let (_, key) = keys.issue(new(NOW + 60), at(NOW)).unwrap();
    assert!(!format!("{keys:?} {key:?}").contains(&key.expose()[24..]));
    let pepper = fs::read(folder.path().join("api-keys.pepper")).unwrap();
    assert!(!format!("{keys:?}").contains(&format!("{pepper:?}")));
}

proptest! {
    #[test]
    fn a_key_parses_as_it_prints_and_in_no_other_spelling(
        id in any::<[u8; 8]>(),
        secret in any::<[u8; 32]>(),
        place in 0usize..67,
        byte in 0x21u8..0x7f,
    ) {
        let id = KeyId::from_random(id);
        let text = credential::print(id, &Secret::new(secret));
        let (parsed, bytes) = credential::parse(text.expose()).unwrap();
        prop_assert_eq!(parsed, id);
        prop_assert!(bytes == Secret::new(secret));
        let mut changed = text.expose().clone().into_bytes();
        changed[place] = byte;
        let changed = String::from_utf8(changed).unwrap();
        if let Some((other, bytes)) = credential::parse(&changed) {
            let printed = credential::print(other, &bytes);
            prop_assert_eq!(printed.expose(), &changed);
        }
    }

    #[test]
    fn arbitrary_text_is_no_key_and_no_panic(text in "\\PC{0,80}") {
        prop_assert!(credential::parse(&text).is_none());
    }
}
