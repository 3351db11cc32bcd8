//! What a person sees: help, errors, results and exit codes of the real program.

#![allow(clippy::allow_attributes, clippy::unwrap_used, clippy::panic, reason = "tests may unwrap")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use refmon_core::bundle::pin;
use refmon_core::json::Json;
use serde_json::Value;

const DEFINITION: &str = r#"{"name":"read_note","description":"Reads a note","inputSchema":{"type":"object","properties":{"path":{"type":"string"},"head":{"type":"integer","minimum":1}},"required":["path"]}}"#;
const DELETE: &str =
    r#"{"name":"delete_note","inputSchema":{"type":"object","properties":{"path":{"type":"string"}}}}"#;

fn refmon(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_refmon"))
        .args(arguments)
        .current_dir(folder)
        .env_remove("REFMON_CONFIG")
        .env("XDG_CONFIG_HOME", folder.join("nowhere"))
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A home with one server of two tools, as `refmon init` would lay it out.
fn home() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for name in ["contracts", "policies", "notes"] {
        fs::create_dir(at(name)).unwrap();
    }
    fs::write(at("notes/a.md"), "a").unwrap();
    fs::write(
        at("refmon.toml"),
        "version = 1\n[identity]\nuser = \"ann\"\nscopes = [\"notes:read\", \"notes:write\"]\n[policy]\ndir = \"policies\"\n[[server]]\nname = \"notes\"\ncommand = [\"true\"]\ncontract = \"contracts/notes.toml\"\n",
    )
    .unwrap();
    let pinned = |definition: &str| pin(&Json::parse(definition.as_bytes()).unwrap());
    let contract = format!(
        "server = \"notes\"\nversion = 1\n[tool.read_note]\npin = \"{}\"\neffects = [\"read\"]\nrequired_scopes = [\"notes:read\"]\n[tool.read_note.args.path]\nkind = \"path\"\nroots = [\"./notes\"]\n\n[tool.delete_note]\npin = \"{}\"\neffects = [\"destructive\"]\nrequired_scopes = [\"notes:write\"]\n[tool.delete_note.args.path]\nkind = \"path\"\nroots = [\"./notes\"]\n",
        pinned(DEFINITION),
        pinned(DELETE)
    );
    fs::write(at("contracts/notes.toml"), contract).unwrap();
    let definitions = format!("{{\"server\":\"notes\",\"tools\":[{DEFINITION},{DELETE}]}}");
    fs::write(at("contracts/notes.definitions.json"), definitions).unwrap();
    let policy = "@id(\"notes.delete\")\n@reason(\"notes may go\")\npermit (principal, action == Refmon::Action::\"notes/delete_note@1\", resource)\nwhen { context.facts has path && context.facts.path.extension == \"md\" };\n";
    fs::write(at("policies/notes.cedar"), policy).unwrap();
    folder
}

fn check(folder: &Path, call: &str) -> (i32, Value) {
    let file = folder.join("call.json");
    fs::write(&file, call.replace("NOTES", &folder.canonicalize().unwrap().join("notes").display().to_string()))
        .unwrap();
    let output = refmon(folder, &["--json", "check", "call.json"]);
    (
        output.status.code().unwrap(),
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text(&output.stderr))),
    )
}

#[test]
fn the_help_of_every_command_is_as_reviewed() {
    let folder = tempfile::tempdir().unwrap();
    let commands: [&[&str]; 19] = [
        &[],
        &["init"],
        &["wrap"],
        &["check"],
        &["explain"],
        &["policy"],
        &["policy", "test"],
        &["contract"],
        &["contract", "accept"],
        &["key"],
        &["key", "add"],
        &["serve"],
        &["holds"],
        &["holds", "list"],
        &["halt"],
        &["resume"],
        &["audit"],
        &["audit", "search"],
        &["doctor"],
    ];
    let mut all = String::new();
    for command in commands {
        let output = refmon(folder.path(), &[command, &["--help"]].concat());
        assert!(output.status.success());
        all.push_str(&format!("$ refmon {} --help\n{}\n", command.join(" "), text(&output.stdout)));
    }
    insta::assert_snapshot!("help", all);
}

#[test]
fn without_a_configuration_the_error_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    for command in [&["wrap"][..], &["holds", "list"], &["audit", "tail"], &["policy", "check"]] {
        let output = refmon(folder.path(), command);
        assert_eq!(output.status.code(), Some(2), "{command:?}");
        assert!(text(&output.stderr).contains("refmon init -- CMD"), "{}", text(&output.stderr));
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn a_broken_configuration_stops_the_start_with_place_and_nearest_spelling() {
    let folder = home();
    let breaks = [
        ("refmon.toml", "contract = ", "contrct = ", "refmon.toml:", "did you mean `contract`?"),
        (
            "contracts/notes.toml",
            "effects = [\"read\"]",
            "effects = [\"raed\"]",
            "notes.toml:5:",
            "did you mean `read`?",
        ),
        ("contracts/notes.toml", "kind = \"path\"", "kind = \"pth\"", "notes.toml:", "did you mean `path`?"),
        ("contracts/notes.toml", "args.path", "args.pth", "notes.toml:", "`path`"),
        ("contracts/notes.toml", "roots", "rots", "notes.toml:", "did you mean `roots`?"),
        ("policies/notes.cedar", "extension", "extention", "notes.cedar:4:", "extension"),
        ("policies/notes.cedar", "delete_note@1", "delete_not@1", "notes.cedar:", "notes/delete_note@1"),
        ("policies/notes.cedar", "@id(\"notes.delete\")", "", "notes.cedar:", "@id"),
        ("contracts/notes.definitions.json", "Reads a note", "Reads anything", "notes.toml:", "refmon contract accept"),
    ];
    for (file, from, to, place, hint) in breaks {
        let path = folder.path().join(file);
        let good = fs::read_to_string(&path).unwrap();
        assert!(good.contains(from), "{from}");
        fs::write(&path, good.replacen(from, to, 1)).unwrap();
        for command in [&["policy", "check"][..], &["wrap"]] {
            let output = refmon(folder.path(), command);
            let error = text(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{file}: {error}");
            assert!(error.contains(place) && error.contains(hint), "{file}: {error}");
        }
        fs::write(&path, good).unwrap();
    }
    assert!(refmon(folder.path(), &["policy", "check"]).status.success());
}

#[test]
fn a_file_with_the_operators_credential_is_for_no_tool() {
    let folder = home();
    let token = folder.path().canonicalize().unwrap().join("notes/token");
    fs::write(&token, "canary").unwrap();
    let call = r#"{"server":"notes","tool":"read_note","arguments":{"path":"NOTES/token"}}"#;
    assert_eq!(check(folder.path(), call).1["decision"], "permit");
    let config = fs::read_to_string(folder.path().join("refmon.toml")).unwrap();
    let reference = format!("{config}env = {{ TOKEN = \"file://{}\" }}\n", token.display());
    fs::write(folder.path().join("refmon.toml"), reference).unwrap();
    assert_eq!(check(folder.path(), call).1["reason"], "arguments.guarded-path");
}

#[test]
fn check_decides_as_a_door_would_and_its_exit_code_says_so() {
    let folder = home();
    let read = |path: &str| format!(r#"{{"server":"notes","tool":"read_note","arguments":{{"path":"{path}"}}}}"#);
    let (code, permit) = check(folder.path(), &read("NOTES/a.md"));
    assert_eq!((code, &permit["reason"]), (0, &Value::from("permitted")));
    let (code, outside) = check(folder.path(), &read("NOTES/../refmon.toml"));
    assert_eq!((code, &outside["reason"]), (1, &Value::from("arguments.guarded-path")));
    let (_, outside) = check(folder.path(), &read("/etc/passwd"));
    assert_eq!(
        (&outside["reason"], &outside["pointer"]),
        (&Value::from("arguments.outside-roots"), &Value::from("/path"))
    );
    let delete = r#"{"server":"notes","tool":"delete_note","arguments":{"path":"NOTES/a.md"}"#;
    let (code, hold) = check(folder.path(), &format!("{delete}}}"));
    assert_eq!((code, &hold["decision"], &hold["approvals"][0]), (1, &Value::from("hold"), &Value::from("operator")));
    let (code, approved) = check(folder.path(), &format!("{delete},\"approvals\":[\"operator\"]}}"));
    assert_eq!((code, &approved["decision"]), (0, &Value::from("permit")));
    let (_, unscoped) = check(folder.path(), &format!("{delete},\"scopes\":[]}}"));
    assert_eq!(unscoped["reason"], "scope.missing");
    let (_, miss) = check(folder.path(), &delete.replace("a.md", "a.txt").replace("}", "}}"));
    assert_eq!(miss["reason"], "policy.no-permit");
    let nearest = miss["explanation"].as_str().unwrap();
    assert!(nearest.contains("notes.delete") && nearest.contains("extension"), "{nearest}");
}

#[test]
fn policy_test_runs_tables_and_fails_with_them() {
    let folder = home();
    let notes = folder.path().canonicalize().unwrap().join("notes");
    let case = |name: &str, tool: &str, expect: &str| {
        format!(
            "[[case]]\nname = \"{name}\"\nserver = \"notes\"\ntool = \"{tool}\"\narguments = {{ path = \"{}/a.md\" }}\nexpect = \"{expect}\"\n",
            notes.display()
        )
    };
    let table = folder.path().join("policies/notes.test.toml");
    fs::write(&table, case("reads", "read_note", "permit") + &case("asks", "delete_note", "hold")).unwrap();
    let output = refmon(folder.path(), &["policy", "test"]);
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    assert!(text(&output.stdout).contains("2 cases, 0 failed"));
    fs::write(&table, case("asks", "delete_note", "permit")).unwrap();
    let output = refmon(folder.path(), &["policy", "test"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stdout).contains("FAILED"));
    fs::write(&table, "[[case]]\nname = \"x\"\n").unwrap();
    assert_eq!(refmon(folder.path(), &["policy", "test"]).status.code(), Some(2));
}

#[test]
fn the_data_folder_is_for_this_user_alone_and_doctor_says_what_holds() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = home();
    let output = refmon(folder.path(), &["--json", "doctor"]);
    let rows: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(output.status.success(), "{rows:#}");
    assert!(rows.as_array().unwrap().iter().all(|row| row["holds"] == true));
    let data = folder.path().join(".refmon");
    assert_eq!(fs::metadata(&data).unwrap().permissions().mode() & 0o777, 0o700);
    fs::set_permissions(&data, fs::Permissions::from_mode(0o755)).unwrap();
    let output = refmon(folder.path(), &["doctor"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stdout).contains("chmod 700"));
}

#[test]
fn what_does_not_exist_is_a_no_and_nonsense_is_a_usage_error() {
    let folder = home();
    let missing = "01234567-89ab-7fff-bfff-ffffffffffff";
    for (command, code) in [
        (&["holds", "show", missing][..], 1),
        (&["holds", "approve", missing], 1),
        (&["audit", "show", missing], 1),
        (&["explain", missing], 1),
        (&["holds", "approve", "nonsense"], 2),
        (&["audit", "show", "nonsense"], 2),
        (&["audit", "search", "--since", "tomorrow"], 2),
        (&["check", "no-such-file"], 2),
        (&["wrap", "--name", "nobody"], 2),
        (&["frobnicate"], 2),
        (&["audit", "verify"], 3),
    ] {
        let output = refmon(folder.path(), command);
        assert_eq!(output.status.code(), Some(code), "{command:?}: {}{}", text(&output.stdout), text(&output.stderr));
    }
}
