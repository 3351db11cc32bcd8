//! The house rules that a compiler does not know: the arrows between crates, sizes, the dependencies of the core,
//! words that must not stand in a file, promises that name their tests, and reference pages that are generated.
//!
//! `REFMON_BLESS=1` rewrites the generated pages. The list of the core's dependencies is changed by hand.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::allow_attributes,
    reason = "what surrounds a test may unwrap as the test does"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use refmon_core::reason::ReasonCode;
use refmon_gateway::method::{Side, TABLE, Treatment, VERSIONS};

/// What each crate may depend on, among refmon's own.
const ARROWS: &[(&str, &[&str])] = &[
    ("refmon-json", &[]),
    ("refmon-core", &["refmon-json"]),
    ("refmon-policy", &["refmon-core"]),
    ("refmon-audit", &["refmon-core"]),
    ("refmon-store", &["refmon-core"]),
    ("refmon-gateway", &["refmon-core"]),
    ("refmon-identity", &["refmon-core"]),
    ("refmon-server", &["refmon-core"]),
    ("refmon-console", &["refmon-core"]),
    (
        "refmon",
        &[
            "refmon-core",
            "refmon-policy",
            "refmon-audit",
            "refmon-store",
            "refmon-gateway",
            "refmon-identity",
            "refmon-server",
            "refmon-console",
        ],
    ),
    ("refmon-bench", &["refmon-core", "refmon-policy", "refmon-audit", "refmon-store", "refmon-gateway"]),
    ("refmon-tests", &["refmon-core", "refmon-policy", "refmon-audit", "refmon-store", "refmon-gateway"]),
];

const CORE_FILE_LINES_MAX: usize = 400;
const FILE_LINES_MAX: usize = 600;
const CORE_LINES_MAX: usize = 4_000;

/// `lib.rs` and `mod.rs` hold declarations and the module's essay. These hold logic too. The list may only shrink.
const MODULES_WITH_LOGIC: &[(&str, &str)] = &[
    ("crates/audit/src/record/mod.rs", "the one entry and the one exit of the encoding"),
    ("crates/core/src/kinds/mod.rs", "the choice of the kind; each kind has its own file"),
    ("crates/core/src/monitor/mod.rs", "the choke point: whoever opens the module should meet it first"),
    ("crates/gateway/src/session/mod.rs", "the state that both directions share"),
    ("crates/json/src/lib.rs", "the type that the crate is about"),
    ("crates/policy/src/compile/mod.rs", "the entry to the compiler"),
    ("crates/policy/src/engine/mod.rs", "the entry to the engine"),
    ("crates/policy/src/lint/mod.rs", "the list of lints"),
    ("crates/policy/src/schema/mod.rs", "the type that the module is about"),
    ("crates/policy/src/source/mod.rs", "the entry to loading"),
    ("crates/store/src/lib.rs", "the one way to a tenant's rows"),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every file that git knows or would add, relative to the root.
fn files() -> Vec<String> {
    let listed = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .expect("git lists the files");
    assert!(listed.status.success(), "git ls-files fails");
    let listed = String::from_utf8(listed.stdout).unwrap();
    let files: BTreeSet<String> =
        listed.lines().filter(|file| root().join(file).is_file()).map(str::to_owned).collect();
    assert!(files.len() > 100, "the list of files is not whole");
    files.into_iter().collect()
}

fn text(file: &str) -> Option<String> {
    String::from_utf8(fs::read(root().join(file)).unwrap()).ok()
}

fn sources() -> Vec<(String, String)> {
    files()
        .into_iter()
        .filter(|file| file.ends_with(".rs"))
        .map(|file| {
            let text = text(&file).unwrap();
            (file, text)
        })
        .collect()
}

/// The part of a file that is not its tests.
fn without_tests(text: &str) -> &str {
    let tests = text.find("#[cfg(test)]\nmod tests").or_else(|| text.find("#[cfg(test)]\nmod differential_tests"));
    tests.map_or(text, |at| text.get(..at).unwrap())
}

/// A file of nothing but tests.
fn only_tests(file: &str) -> bool {
    file.ends_with("/tests.rs") || file.ends_with("_tests.rs") || file.starts_with("tests/") || file.contains("/tests/")
}

fn lines(file: &str, text: &str) -> usize {
    if only_tests(file) { text.lines().count() } else { without_tests(text).lines().count() }
}

fn manifest(file: &str) -> toml::Table {
    text(file).unwrap().parse().unwrap()
}

/// The dependencies of a manifest in all its tables: ordinary, build, test, and those of single platforms.
fn dependencies(manifest: &toml::Table) -> BTreeSet<String> {
    let platforms = manifest.get("target").and_then(toml::Value::as_table);
    let tables = platforms.into_iter().flat_map(|table| table.values().filter_map(toml::Value::as_table));
    let mut names = BTreeSet::new();
    for table in tables.chain([manifest]) {
        for key in ["dependencies", "build-dependencies", "dev-dependencies"] {
            let found = table.get(key).and_then(toml::Value::as_table).into_iter().flat_map(toml::Table::keys);
            names.extend(found.cloned());
        }
    }
    names
}

fn manifests() -> BTreeMap<String, toml::Table> {
    let files = files().into_iter().filter(|file| file.starts_with("crates/") && file.ends_with("/Cargo.toml"));
    files
        .chain(["Cargo.toml".to_owned()])
        .map(|file| manifest(&file))
        .map(|manifest| (manifest["package"]["name"].as_str().unwrap().to_owned(), manifest))
        .collect()
}

#[test]
fn crates_depend_on_each_other_only_along_the_arrows() {
    let arrows: BTreeMap<&str, &[&str]> = ARROWS.iter().copied().collect();
    let manifests = manifests();
    assert_eq!(manifests.keys().map(String::as_str).collect::<Vec<_>>(), arrows.keys().copied().collect::<Vec<_>>());
    for (name, manifest) in &manifests {
        let allowed = arrows[name.as_str()];
        for dependency in dependencies(manifest) {
            let ours = dependency == "refmon" || dependency.starts_with("refmon-");
            assert!(!ours || allowed.contains(&dependency.as_str()), "{name} must not depend on {dependency}");
        }
    }
}

#[test]
fn sql_and_cedar_have_one_home_each() {
    for (name, manifest) in manifests() {
        for dependency in dependencies(&manifest) {
            let sql = ["rusqlite", "libsqlite3-sys", "sqlx", "tokio-postgres"].contains(&dependency.as_str());
            assert!(!sql || name == "refmon-store", "only the store may depend on {dependency}, not {name}");
            // The benchmarks measure the stock engine beside ours, and nobody depends on them.
            let cedar = dependency.starts_with("cedar") && name != "refmon-bench";
            assert!(!cedar || name == "refmon-policy", "only the policy may depend on {dependency}, not {name}");
        }
    }
}

#[test]
fn the_lints_are_denied_everywhere() {
    let lints = manifest("Cargo.toml")["workspace"]["lints"].clone();
    assert_eq!(lints["clippy"]["too_many_lines"].as_str(), Some("deny"));
    assert_eq!(lints["rust"]["unsafe_code"].as_str(), Some("forbid"));
    assert_eq!(lints["rust"]["unused_must_use"].as_str(), Some("forbid"));
    assert_eq!(manifest("clippy.toml")["too-many-lines-threshold"].as_integer(), Some(70));
    for (name, manifest) in manifests() {
        assert_eq!(manifest["lints"]["workspace"].as_bool(), Some(true), "{name} takes the workspace's lints");
    }
}

#[test]
fn files_are_small() {
    for (file, text) in sources() {
        let core =
            ["crates/core/src/", "crates/json/src/"].iter().any(|place| file.starts_with(place)) && !only_tests(&file);
        let lines = lines(&file, &text);
        let max = if core { CORE_FILE_LINES_MAX } else { FILE_LINES_MAX };
        assert!(lines <= max, "{file} has {lines} lines, at most {max} are allowed: split it where a chapter ends");
    }
}

#[test]
fn the_whole_core_can_be_read_in_an_afternoon() {
    let core = sources().into_iter().filter(|(file, _)| file.starts_with("crates/core/src/") && !only_tests(file));
    // Blank lines and comments do not count: every public item is documented, and that is what makes it readable.
    let code = |line: &&str| !line.trim_start().is_empty() && !line.trim_start().starts_with("//");
    let lines: usize = core.map(|(_, text)| without_tests(&text).lines().filter(code).count()).sum();
    assert!(
        (1_000..=CORE_LINES_MAX).contains(&lines),
        "the core has {lines} lines of code, at most {CORE_LINES_MAX} are allowed"
    );
}

#[test]
fn module_files_hold_declarations_or_are_listed_with_a_reason() {
    let logic = |text: &str| {
        without_tests(text).lines().map(str::trim_start).any(|line| {
            let line =
                line.trim_start_matches("pub ").trim_start_matches("pub(crate) ").trim_start_matches("pub(super) ");
            line.trim_start_matches("const ").starts_with("fn ")
        })
    };
    let found: Vec<String> = sources()
        .into_iter()
        .filter(|(file, _)| file.starts_with("crates/") && (file.ends_with("/lib.rs") || file.ends_with("/mod.rs")))
        .filter(|(file, text)| !only_tests(file) && logic(text))
        .map(|(file, _)| file)
        .collect();
    let listed: Vec<&str> = MODULES_WITH_LOGIC.iter().map(|(file, _)| *file).collect();
    assert_eq!(found, listed, "left: what holds logic; right: the list, which may only shrink");
}

#[test]
fn the_core_depends_on_what_is_checked_in() {
    let tree = Command::new(env!("CARGO"))
        .args(["tree", "-p", "refmon-core", "-e", "normal", "--prefix", "none", "--locked", "--offline"])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    let tree = String::from_utf8(tree.stdout).unwrap();
    let names: BTreeSet<&str> =
        tree.lines().filter_map(|line| line.split(' ').next()).filter(|name| !name.is_empty()).collect();
    let names: Vec<&str> = names.into_iter().filter(|name| *name != "refmon-core").collect();
    let written = text("tests/core-dependencies.txt").unwrap();
    let written: Vec<&str> = written.lines().collect();
    assert_eq!(names, written, "left: what the core depends on; right: tests/core-dependencies.txt");
}

#[test]
fn no_file_has_words_of_unfinished_work() {
    // Put together here, or this file would be found.
    let words = [concat!("to", "do!("), concat!("unimpl", "emented!("), concat!("db", "g!(")];
    let mark = concat!("TO", "DO");
    let numbered = |rest: &str| {
        let number = rest.strip_prefix("(#").and_then(|rest| rest.split_once(')')).map(|(number, _)| number);
        number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
    };
    // What the compiler says about misuse is not ours, and may suggest such a word.
    for file in files().into_iter().filter(|file| !file.ends_with(".stderr")) {
        let Some(text) = text(&file) else { continue };
        for word in words {
            assert!(!text.contains(word), "{file} has `{word}`");
        }
        for (at, found) in text.match_indices(mark) {
            let rest = text.get(at + found.len()..).unwrap();
            assert!(!rest.starts_with('(') || numbered(rest), "{file} has `{mark}` without the number of an issue");
        }
    }
}

/// Whether a test of this name stands in a file, crate or module of this place.
fn has_test(sources: &[(String, String)], reference: &str) -> bool {
    let mut place: Vec<&str> = reference.split("::").flat_map(|part| part.split('/')).collect();
    let name = place.pop().unwrap_or_default();
    let plain = |part: &str| match part {
        "refmon" => "cli".to_owned(),
        _ => part.trim_end_matches(".rs").replace("refmon-", "").replace("refmon_", ""),
    };
    sources.iter().any(|(file, text)| {
        let parts: Vec<String> = file.split('/').map(plain).collect();
        let module = |part: &str| text.contains(&format!("mod {part} {{"));
        let here = place.iter().all(|part| parts.contains(&plain(part)) || module(part));
        let function = format!("fn {name}(");
        here && text.match_indices(&function).any(|(at, _)| {
            let before = text.get(..at).unwrap();
            before.lines().rev().take(6).any(|line| line.trim() == "#[test]")
        })
    })
}

/// Every `file::test_name` in backticks after "Test:" of a promise, up to the end of its paragraph.
fn promised_tests(specification: &str) -> Vec<String> {
    let mut found = Vec::new();
    for paragraph in specification.split("\n\n") {
        for item in paragraph.split("Test:").skip(1) {
            found.extend(item.split('`').skip(1).step_by(2).filter(|quoted| quoted.contains("::")).map(str::to_owned));
        }
    }
    found
}

#[test]
fn every_test_that_a_promise_names_exists() {
    let sources = sources();
    assert!(has_test(&sources, "tidy::every_test_that_a_promise_names_exists"));
    assert!(has_test(&sources, "core::decision::tests::another_opinion_never_lowers_a_decision"));
    assert!(
        !has_test(&sources, "tidy::has_test") && !has_test(&sources, "model::every_test_that_a_promise_names_exists")
    );
    assert_eq!(promised_tests("1. X. Test: `a::b`,\n`c::d` and `e`.\n\nTest: none `f`."), ["a::b", "c::d"]);
    // The page does not have to exist, but a page that exists has to be right.
    if !root().join("SPECIFICATION.md").exists() {
        return;
    }
    let promised = promised_tests(&text("SPECIFICATION.md").unwrap());
    assert!(!promised.is_empty(), "SPECIFICATION.md names no test; write: Test: `file::test_name`");
    let missing: Vec<&String> = promised.iter().filter(|reference| !has_test(&sources, reference)).collect();
    assert!(missing.is_empty(), "SPECIFICATION.md names tests that do not exist: {missing:#?}");
}

/// Compares a generated page with the file, or writes it.
fn generated(file: &str, page: &str) {
    let path: PathBuf = root().join(file);
    if std::env::var_os("REFMON_BLESS").is_some() {
        fs::write(&path, page).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == page,
        "{file} is not what its table says; look at `REFMON_BLESS=1 cargo nextest run -p refmon-tests --test tidy`"
    );
}

#[test]
fn the_page_of_reason_codes_is_its_table() {
    let mut page = String::from(
        "# Reason codes\n\nGenerated from `crates/core/src/reason.rs`; do not edit.\n\nEvery decision and every record has one reason code. A code and its number are never renamed, renumbered or\nreused. Agents find it in `_meta` of an answer under `refmon.dev/verdict`, people in `refmon audit search --reason`.\n\n| Number | Code | Meaning | Remedies |\n|---:|---|---|---|\n",
    );
    for code in ReasonCode::ALL {
        let remedies: Vec<String> = code.remedies().iter().map(|remedy| format!("`{}`", remedy.as_str())).collect();
        writeln!(page, "| {} | `{}` | {} | {} |", code.number(), code.as_str(), code.sentence(), remedies.join(", "))
            .unwrap();
    }
    page.push_str("\n## Remedies\n\n| Remedy | What to do |\n|---|---|\n");
    let mut remedies: Vec<_> = ReasonCode::ALL.iter().flat_map(|code| code.remedies()).collect();
    remedies.sort_by_key(|remedy| remedy.as_str());
    remedies.dedup();
    for remedy in remedies {
        writeln!(page, "| `{}` | {} |", remedy.as_str(), remedy.sentence()).unwrap();
    }
    generated("docs/reference/reason-codes.md", &page);
}

const fn treated(treatment: Treatment) -> &'static str {
    match treatment {
        Treatment::Tool => "judged by the tool's contract and the policies",
        Treatment::Judged(_) => {
            "judged by the contract's entry for the method and the policies; without an entry, denied"
        }
        Treatment::Listen => "judged as `resources/subscribe` if it subscribes to resources, else passed on",
        Treatment::ToolList => "passed on; the answer is cut to the tools that the caller could be permitted to call",
        Treatment::Handshake => "passed on; an answer with an unknown protocol version is refused",
        Treatment::Pass => "passed on; it acts on nothing",
        Treatment::Cancel => "passed on; the call that it names is recorded as cancelled",
        Treatment::ToolsChanged => "passed on; the server's tools are looked at again before the next call",
    }
}

#[test]
fn the_page_of_methods_is_its_table() {
    let mut page = format!(
        "# Protocol methods\n\nGenerated from `crates/gateway/src/method.rs`; do not edit.\n\nEvery method of the Model Context Protocol that passes in some form, and how it is mediated. A method that is not\nhere is denied, and so is a request that comes as a notification, or from the other side.\n\nProtocol versions: {}.\n",
        VERSIONS.join(", ")
    );
    for (side, title) in [(Side::Client, "From the agent's side"), (Side::Server, "From the tool server")] {
        write!(page, "\n## {title}\n\n| Method | Kind | Versions | Treatment |\n|---|---|---|---|\n").unwrap();
        for row in TABLE.iter().filter(|row| row.from == side) {
            let kind = if row.request { "request" } else { "notification" };
            writeln!(page, "| `{}` | {kind} | {} | {} |", row.name, row.eras, treated(row.treatment)).unwrap();
        }
    }
    generated("docs/reference/methods.md", &page);
}
