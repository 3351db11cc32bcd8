//! Who asks, with which policy, for whose files.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;

use refmon_core::ids::{AgentId, IdError, Scope, TenantId, UserId};
use refmon_gateway::system::System;
use refmon_policy::{Sources, load};

use crate::stage::{Setting, Stage, bundle, call, code, folder, sources};

// CVE-2026-59822 (BerriAI/litellm): a bad credential became a blank key object, which could call tools.
#[test]
fn there_is_no_empty_principal() {
    assert_eq!(TenantId::parse(""), Err(IdError::Empty));
    assert_eq!(UserId::parse(""), Err(IdError::Empty));
    assert_eq!(AgentId::parse(""), Err(IdError::Empty));
    assert_eq!(Scope::parse(""), Err(IdError::Empty));
    for blank in [" ", "\t", "\0", "\u{a0}", "\u{200b}"] {
        assert!(TenantId::parse(blank).is_err() && UserId::parse(blank).is_err(), "{blank:?}");
    }
}

// agentgateway's rbac.rs, msaad00/agent-bom#2798, IBM/mcp-context-forge rbac.md: no rules meant that all is allowed.
#[test]
fn no_policy_denies_everything() {
    let empty = tempfile::TempDir::new().unwrap();
    for policy_dir in [None, Some(empty.path().to_owned())] {
        let stage = Stage::of(Setting {
            bundle: bundle(&Sources { packs: vec![], policy_dir, ..sources() }),
            ..Setting::default()
        });
        for tool in ["read", "secret", "write", "delete", "export"] {
            assert_eq!(code(&stage.refused(call(1, tool, "{}"))), "policy.no-permit", "{tool}");
        }
        let seen = stage.list(&crate::stage::definitions()).concat();
        assert!(seen.contains(r#""tools":[]"#), "{seen}");
    }
}

/// What the loader says to one policy beside those of the operator: refused, or loaded with these warnings.
fn told(policy: &str) -> String {
    let folder = tempfile::TempDir::new().unwrap();
    fs::write(folder.path().join("one.cedar"), policy).unwrap();
    match load(&Sources { policy_dir: Some(folder.path().to_owned()), ..sources() }) {
        Ok(loaded) => loaded.report.findings.iter().map(|finding| format!("{} {finding}\n", finding.rule)).collect(),
        Err(error) => error.to_string(),
    }
}

// agentgateway/agentgateway#3092, #1058: a rule that could never match was loaded without a word.
#[test]
fn a_rule_that_can_never_match_is_reported() {
    let dead = told(
        r#"@id("a") @reason("r") forbid (principal, action == Refmon::Action::"s/write@1", resource) when { context.args has nothing };"#,
    );
    assert!(dead.contains("dead") && dead.contains("one.cedar"), "{dead}");
    let unknown = told(r#"@id("a") @reason("r") forbid (principal, action == Refmon::Action::"s/wirte@1", resource);"#);
    assert!(unknown.contains("s/wirte@1") && unknown.contains("one.cedar"), "{unknown}");
    let fine = told(r#"@id("a") @reason("r") forbid (principal, action == Refmon::Action::"s/write@1", resource);"#);
    assert!(!fine.contains("dead") && !fine.contains("s/wirte@1"), "{fine}");
}

// A scope belongs to the caller; a name inside the message is a claim of a stranger.
#[test]
fn a_scope_in_the_message_is_nothing() {
    let stage = Stage::new();
    let claimed = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"scoped","arguments":{},"_meta":{"scope":"vault:open","user":"root","tenant":"t"}}}"#;
    assert_eq!(code(&stage.refused(claimed)), "scope.missing");
    let caller = crate::support::caller("t", &["vault:open"]);
    Stage::of(Setting { caller, ..Setting::default() }).passes(&call(1, "scoped", "{}"));
}

// chitinhq/agentguard#862: the agent edited the guard's own rules, hooks and evidence.
#[test]
fn an_agent_cannot_write_the_guards_own_files() {
    let home = tempfile::TempDir::new().unwrap();
    let root = home.path().canonicalize().unwrap();
    for name in ["server.toml", "server.definitions.json"] {
        fs::copy(folder().join(name), root.join(name)).unwrap();
    }
    for part in ["policies", "data/journal", "work"] {
        fs::create_dir_all(root.join(part)).unwrap();
    }
    fs::copy(folder().join("policies/operator.cedar"), root.join("policies/operator.cedar")).unwrap();
    fs::write(root.join("refmon.toml"), "version = 1\n").unwrap();
    fs::hard_link(root.join("refmon.toml"), root.join("work/innocent.txt")).unwrap();
    symlink(root.join("policies"), root.join("work/notes")).unwrap();
    let own = ["refmon.toml", "policies", "data", "server.toml", "server.definitions.json"].map(|name| root.join(name));
    let files = Arc::new(System::guarding(own));
    let loaded = bundle(&Sources {
        contracts: vec![root.join("server.toml")],
        policy_dir: Some(root.join("policies")),
        base: root.clone(),
        ..sources()
    });
    let stage = Stage::of(Setting { bundle: loaded, files: Some(files), ..Setting::default() });
    let save = |path: &Path| call(1, "save", &format!(r#"{{"path":"{}"}}"#, path.display()));
    for path in [
        "refmon.toml",
        "work/innocent.txt",
        "work/notes/new.cedar",
        "policies/new.cedar",
        "policies/operator.cedar",
        "data/journal/x",
        "server.toml",
        "server.definitions.json",
    ] {
        let answer = stage.refused(save(&root.join(path)));
        assert_eq!(code(&answer), "arguments.guarded-path", "{path}");
    }
    // The tool's process stands elsewhere than refmon's, and writes to its own standard input what it then reads.
    for path in ["/proc/self/cwd/refmon.toml", "/proc/self/fd/0", "/dev/stdin", "/dev/fd/0", "/proc/1/root/etc/passwd"]
    {
        assert_eq!(code(&stage.refused(save(Path::new(path)))), "arguments.ambiguous", "{path}");
    }
    // Moved away with the folder that it is in, the guard could be edited and moved back.
    fs::create_dir_all(root.join("work/deep")).unwrap();
    for path in [root.clone(), root.join("work/.."), root.join("work/deep/../..")] {
        assert_eq!(code(&stage.refused(save(&path))), "arguments.guarded-path", "{}", path.display());
    }
    stage.passes(&call(2, "save", &format!(r#"{{"path":"{}"}}"#, root.join("work/deep").display())));
    for path in ["work/../refmon.toml", "/etc/passwd"] {
        stage.refused(save(&root.join(path)));
    }
    stage.passes(&save(&root.join("work/fine.txt")));
}
