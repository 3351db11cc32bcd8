//! Every caller, tool, choice of packs and supposed approval, through the real loader and the real judgement. The golden
//! file is compared exactly: a change of any decision shows as a line that a person reads. `REFMON_BLESS=1` rewrites it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::allow_attributes,
    reason = "what surrounds a test may unwrap as the test does"
)]

mod support;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use refmon_core::bundle::{Bundle, Listing};
use refmon_core::decision::{Grants, Obligation};
use refmon_core::ids::{ApprovalKind, Operation};
use refmon_core::monitor::{Ask, Situation, judge};
use refmon_core::ports::{Moment, NoGrants};
use refmon_policy::{Sources, load};
use support::World;

const CALLERS: [(&str, &[&str]); 4] = [
    ("none", &[]),
    ("read", &["matrix:read"]),
    ("write", &["matrix:write"]),
    ("all", &["matrix:read", "matrix:write"]),
];
const PACKS: [(&str, &[&str], bool); 3] =
    [("no policy", &[], false), ("baseline", &["baseline"], false), ("baseline and operator", &["baseline"], true)];
const APPROVALS: [&[&str]; 2] = [&[], &["operator"]];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/matrix")
}

fn bundle(packs: &[&str], operator: bool) -> Bundle {
    let sources = Sources {
        contracts: vec![folder().join("tools.toml")],
        packs: packs.iter().map(|pack| (*pack).to_owned()).collect(),
        policy_dir: operator.then(|| folder().join("policies")),
        base: folder(),
    };
    match load(&sources) {
        Ok(loaded) => loaded.bundle,
        Err(error) => panic!("{error}"),
    }
}

fn decided(bundle: &Bundle, tool: &str, scopes: &[&str], approvals: &[&str]) -> String {
    let listed = bundle.tools().filter_map(|tool| match &tool.contract.operation {
        Operation::Tool(name) => Some((name.clone(), tool.contract.pin?)),
        Operation::Method(_) => None,
    });
    let granted = Grants::supposed(approvals.iter().map(|kind| ApprovalKind::parse(kind).unwrap()).collect());
    let world = World::default();
    let situation = Situation {
        bundle,
        grants: &NoGrants,
        files: &world,
        inspectors: &[],
        granted: &granted,
        now: Moment::default(),
    };
    let (caller, ask) = (support::caller("t", scopes), Ask::Tool(tool.to_owned()));
    let judgement =
        judge(&situation, &caller, &support::server(), &ask, &Listing::new(listed), b"{}", &Obligation::ALL);
    format!("{} {}", judgement.decision.as_str(), judgement.reason)
}

#[test]
fn every_caller_tool_and_pack_decides_as_the_golden_table_says() {
    let mut table =
        String::from("# packs | tool | scopes of the caller | without approval | with the operator's approval\n");
    for (name, packs, operator) in PACKS {
        let bundle = bundle(packs, operator);
        let tools: Vec<String> = bundle.tools().map(|tool| tool.contract.operation.to_string()).collect();
        assert!(tools.len() > 10);
        for tool in tools {
            for (scopes, held) in CALLERS {
                let [plain, approved] = APPROVALS.map(|approvals| decided(&bundle, &tool, held, approvals));
                writeln!(table, "{name:<21} | {tool:<22} | {scopes:<5} | {plain:<25} | {approved}").unwrap();
            }
        }
    }
    let golden = folder().join("decisions.txt");
    if std::env::var_os("REFMON_BLESS").is_some() {
        fs::write(&golden, &table).unwrap();
    }
    let written = fs::read_to_string(&golden).unwrap_or_default();
    for (found, expected) in table.lines().zip(written.lines()) {
        assert_eq!(found, expected, "left: decided now; right: tests/matrix/decisions.txt");
    }
    assert_eq!(table.lines().count(), written.lines().count(), "the table has as many lines as the golden file");
}
