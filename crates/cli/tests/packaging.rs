//! What `packaging/` says about refmon is true of it: commands and flags exist, files that are copied are there.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::allow_attributes,
    reason = "what surrounds a test may unwrap as the test does"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn text(file: &str) -> String {
    fs::read_to_string(root().join("packaging").join(file)).unwrap()
}

/// Whether refmon understands a command line: it prints the help of the command, and knows every flag before that.
fn understands(words: &[&str]) -> bool {
    Command::new(env!("CARGO_BIN_EXE_refmon")).args(words).arg("--help").output().unwrap().status.success()
}

/// The instructions of a container file, lines put together.
fn instructions(text: &str) -> Vec<(String, String)> {
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty()).collect();
    let joined = lines.join("\n").replace("\\\n", " ");
    let split = |line: &str| line.split_once(' ').map(|(name, rest)| (name.to_owned(), rest.trim().to_owned()));
    joined.lines().filter_map(split).collect()
}

#[test]
fn the_service_starts_a_command_that_exists_in_a_sandbox() {
    let unit = text("refmon.service");
    let value = |key: &str| unit.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('=')).unwrap_or_default();
    let words: Vec<&str> = value("ExecStart").split(' ').collect();
    assert!(words[0].ends_with("/refmon") && understands(&words[1..]), "{words:?}");
    assert!(!understands(&["serve", "--no-such-flag"]), "the check can fail");
    for (key, expected) in [
        ("Type", "notify"),
        ("DynamicUser", "yes"),
        ("ProtectSystem", "strict"),
        ("NoNewPrivileges", "yes"),
        ("CapabilityBoundingSet", ""),
        ("StateDirectory", "refmon"),
        ("Restart", "on-failure"),
    ] {
        assert!(unit.lines().any(|line| line == format!("{key}={expected}")), "{key}={expected}");
    }
}

#[test]
fn the_service_manager_finds_nothing_wrong_with_the_unit() {
    let folder = tempfile::tempdir().unwrap();
    let unit = folder.path().join("refmon.service");
    let own = env!("CARGO_BIN_EXE_refmon");
    fs::write(&unit, text("refmon.service").replace("/usr/local/bin/refmon", own)).unwrap();
    // A machine without systemd cannot say; the tests above hold there, too.
    let Ok(verified) = Command::new("systemd-analyze").arg("verify").arg(&unit).output() else { return };
    let told = String::from_utf8_lossy(&verified.stderr).into_owned();
    assert!(verified.status.success() && !told.contains("refmon.service"), "{told}");
}

#[test]
fn the_container_copies_what_is_there_and_runs_commands_that_exist_as_nobody_special() {
    let all = instructions(&text("Containerfile"));
    let of = |name: &str| all.iter().filter(|(own, _)| own == name).map(|(_, rest)| rest.clone()).collect::<Vec<_>>();
    assert_eq!(of("FROM").len(), 2, "the compiler is not in the image");
    for copy in of("COPY").iter().filter(|copy| !copy.starts_with("--from")) {
        let words: Vec<&str> = copy.split(' ').collect();
        for source in words.split_last().unwrap().1 {
            let folder = source.trim_end_matches("*.rs");
            assert!(root().join(folder).exists(), "{source}");
        }
    }
    let manifest: toml::Table = fs::read_to_string(root().join("crates/cli/Cargo.toml")).unwrap().parse().unwrap();
    let (package, binary) =
        (manifest["package"]["name"].as_str().unwrap(), manifest["bin"][0]["name"].as_str().unwrap());
    assert!(of("RUN").iter().any(|run| run.ends_with(&format!("cargo build --profile dist --locked -p {package}"))));
    assert!(of("COPY").iter().any(|copy| copy.contains(&format!("/target/dist/{binary} "))));
    let command: Vec<String> = serde_json::from_str(&of("CMD")[0]).unwrap();
    assert!(understands(&command.iter().map(String::as_str).collect::<Vec<_>>()), "{command:?}");
    let health = of("HEALTHCHECK")[0].split_once("CMD refmon ").unwrap().1.replace(" || exit 1", "");
    assert!(understands(&health.split(' ').collect::<Vec<_>>()), "{health}");
    let user = of("USER");
    assert!(user[0].split(':').all(|id| id.parse::<u32>().is_ok_and(|id| id != 0)), "{user:?}");
    assert!(of("ARG").is_empty() && of("ENV") == ["REFMON_CONFIG=/etc/refmon/refmon.toml"], "nothing is baked in");
}
