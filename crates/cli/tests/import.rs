//! `refmon init --from`: the configurations of clients, as people have them, secrets included.

#![allow(clippy::allow_attributes, clippy::unwrap_used, clippy::panic, reason = "tests may unwrap")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// Stands in the value of every secret of the fixtures.
const CANARY: &str = "canary";

struct Place {
    folder: tempfile::TempDir,
    client: PathBuf,
}

fn servers() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/servers")
}

/// A folder for refmon's files, and beside it a client's file made from a fixture.
fn place(fixture: &str) -> Place {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(fixture)).unwrap();
    written(&text)
}

fn written(text: &str) -> Place {
    let folder = tempfile::tempdir().unwrap();
    let (client, notes) = (folder.path().join("settings"), folder.path().join("notes"));
    for new in ["notes", "project", "home"] {
        fs::create_dir(folder.path().join(new)).unwrap();
    }
    let text = text
        .replace("SERVERS", &servers().display().to_string())
        .replace("\"SERVER\"", &format!("\"{}\"", servers().join("tools_server.py").display()))
        .replace("PROJECT", &folder.path().join("project").display().to_string())
        .replace("NOTES", &notes.display().to_string());
    fs::write(&client, text).unwrap();
    Place { folder, client }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

impl Place {
    fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    fn refmon(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_refmon"))
            .args(arguments)
            .current_dir(self.home())
            .env_remove("REFMON_CONFIG")
            .env("XDG_CONFIG_HOME", self.folder.path().join("nowhere"))
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    /// Imports, looks that no secret went anywhere and that the client's file is untouched, and returns the report.
    fn import(&self, environment: &[(&str, &str)]) -> (i32, Value, String) {
        let before = (fs::read(&self.client).unwrap(), fs::metadata(&self.client).unwrap().modified().unwrap());
        let from = self.client.display().to_string();
        let output = self.refmon(&["init", "--from", &from, "--yes", "--json"], environment);
        let after = (fs::read(&self.client).unwrap(), fs::metadata(&self.client).unwrap().modified().unwrap());
        assert_eq!(before, after, "the client's file is only read");
        let (out, errors) = (text(&output.stdout), text(&output.stderr));
        for said in [&out, &errors] {
            assert!(!said.contains(CANARY), "{said}");
        }
        assert_clean(&self.home());
        let report = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{out}{errors}"));
        (output.status.code().unwrap(), report, errors)
    }

    fn written(&self, file: &str) -> String {
        fs::read_to_string(self.home().join(file)).unwrap()
    }
}

fn assert_clean(folder: &Path) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            assert_clean(&path);
        } else {
            let text = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
            assert!(!text.contains(CANARY), "{}: {text}", path.display());
        }
    }
}

fn server<'r>(report: &'r Value, name: &str) -> &'r Value {
    let servers = report["servers"].as_array().unwrap();
    servers.iter().find(|server| server["name"] == name).unwrap_or_else(|| panic!("no {name} in {report:#}"))
}

fn says(list: &Value, what: &str) -> bool {
    list.as_array().unwrap().iter().any(|line| line.as_str().unwrap().contains(what))
}

#[test]
fn claude_desktop_names_are_made_valid_and_what_does_not_start_stops_nobody() {
    let place = place("claude-desktop.json");
    let (code, report, _) = place.import(&[]);
    assert_eq!(code, 1, "one server is left out: {report:#}");
    let files = server(&report, "files");
    assert_eq!(files["tools"], serde_json::json!({ "permit": 1, "hold": 1, "deny": 1 }), "{report:#}");
    assert_eq!(files["secrets"], serde_json::json!(["FILES_API_TOKEN"]));
    assert!(says(&report["next"], "set FILES_API_TOKEN to the value that `env.API_TOKEN` has in "), "{report:#}");
    assert!(says(&report["next"], "settings:4 `mcpServers.files`"), "{report:#}");
    assert!(says(&server(&report, "my-files-2")["notes"], "`My Files!` is called `my-files-2` here"));
    assert_eq!(server(&report, "my-files")["key"], "my-files", "a valid name is kept");
    assert_eq!(server(&report, "off")["state"], "skipped");
    let broken = server(&report, "broken");
    assert_eq!(broken["state"], "left out");
    assert!(broken["why"].as_str().unwrap().contains("no such dog: [secret]"), "{broken:#}");
    let config = place.written("refmon.toml");
    assert!(config.contains("env = { API_TOKEN = \"env://FILES_API_TOKEN\", PLAIN = \"vr\" }"), "{config}");
    assert!(config.contains("# `broken` was left out: ") && config.contains("# name = \"broken\""), "{config}");
    let contract = place.written("contracts/files.toml");
    assert!(contract.contains("[tool.read_note]") && place.written("policies/files.cedar").contains("delete_note"));
    assert!(place.refmon(&["policy", "check"], &[]).status.success());
    let unset = place.refmon(&["contract", "diff", "files"], &[]);
    assert!(text(&unset.stderr).contains("FILES_API_TOKEN, which is not set"), "{}", text(&unset.stderr));
    let set = place.refmon(&["contract", "diff", "files"], &[("FILES_API_TOKEN", "The-canary-99")]);
    assert!(set.status.success(), "{}", text(&set.stderr));
}

#[test]
fn claude_code_secrets_in_arguments_and_urls_become_references_that_are_expanded_at_the_start() {
    let place = place("claude-code.json");
    let (code, report, _) = place.import(&[("CANARY_SET", "canary-set")]);
    assert_eq!(code, 1);
    let config = place.written("refmon.toml");
    for line in [
        "postgres://ann:${env:DB_ARG}@localhost/notes",
        "--api-key=${env:DB_API_KEY}",
        "\"--token\", \"${env:DB_TOKEN}\"",
        "DB_PASSWORD=${env:DB_PASSWORD}",
        "\"${env:CANARY_SET}\"",
        "--max-tokens=4096",
        "DATABASE_URL = \"postgres://ann:${env:DB_DATABASE_URL}@localhost/notes\"",
        "url = \"https://example.com/mcp?api_key=${env:WEB_API_KEY}\"",
        "Authorization = \"env://WEB_AUTHORIZATION\", X-Team = \"notes\"",
        "\"${env:DB_2_ARG}\"",
    ] {
        assert!(config.contains(line), "{line}: {config}");
    }
    assert!(config.contains(&format!("cwd = \"{}\"", place.folder.path().join("project").display())), "{config}");
    assert!(says(&server(&report, "db")["notes"], "EMPTY_TOKEN"));
    assert!(says(&server(&report, "web")["notes"], "`timeout`"));
    assert!(says(&report["next"], "what follows `--token` in `args[5]`"), "{report:#}");
    assert!(server(&report, "unset")["why"].as_str().unwrap().contains("CANARY_NOT_SET is not set"), "{report:#}");
    assert_eq!(server(&report, "web")["tools"], serde_json::json!({ "permit": 0, "hold": 0, "deny": 0 }));
    assert!(place.written("contracts/web.toml").contains("Nothing of it can be called"));
    let values = [
        ("DB_ARG", "pass-canary-1"),
        ("DB_API_KEY", "key-canary-22"),
        ("DB_TOKEN", "token-canary-3"),
        ("DB_PASSWORD", "word-canary-4"),
        ("CANARY_SET", "canary-set"),
        ("DB_DATABASE_URL", "pass-canary-1"),
    ];
    let diff = place.refmon(&["contract", "diff", "db"], &values);
    assert!(diff.status.success(), "{}", text(&diff.stderr));
    let unset = place.refmon(&["contract", "diff", "db"], &values[1..]);
    let error = text(&unset.stderr);
    assert!(unset.status.code() == Some(2) && error.contains("`command[3]`") && error.contains("DB_ARG"), "{error}");
    let wrap = place.refmon(&["wrap", "--name", "web"], &[]);
    assert!(text(&wrap.stderr).contains("it needs `refmon serve`"), "{}", text(&wrap.stderr));
    assert_eq!(wrap.status.code(), Some(2));
}

#[test]
fn cursor_references_stay_references() {
    let place = place("cursor.json");
    let (code, report, errors) = place.import(&[("CANARY_SET", "canary-set")]);
    assert_eq!(code, 0, "{report:#}{errors}");
    let config = place.written("refmon.toml");
    assert!(config.contains("env = { X = \"env://CANARY_SET\" }"), "{config}");
    assert!(config.contains("headers = { X-Api-Key = \"env://REMOTE_KEY\" }"), "{config}");
    assert!(config.contains("# Not asked for its tools"), "{config}");
    assert!(says(&server(&report, "tools")["notes"], "`envFile`"));
    assert!(errors.contains("[secret]"), "what a server says is shown without the values it was given: {errors}");
}

#[test]
fn vscode_comments_are_read_and_inputs_become_variables() {
    let place = place("vscode.json");
    let (code, report, _) = place.import(&[("TEAM_KEY", "canary-picked")]);
    assert_eq!(code, 1);
    assert_eq!(server(&report, "tools")["state"], "written", "{report:#}");
    assert_eq!(server(&report, "tools")["inputs"], serde_json::json!(["TEAM_KEY"]));
    assert!(server(&report, "here")["why"].as_str().unwrap().contains("`${workspaceFolder}` in its `args[2]`"));
    assert!(says(&report["next"], "set TEAM_KEY to what the editor asks for as `input:team-key`"));
    assert!(place.written("refmon.toml").contains("headers = { X-Key = \"env://TEAM_KEY\" }"));
}

#[test]
fn windsurf_keys_in_paths_of_urls_are_moved_and_a_wrapped_server_is_skipped() {
    let place = place("windsurf.json");
    let (code, report, _) = place.import(&[]);
    assert_eq!(code, 0, "{report:#}");
    let config = place.written("refmon.toml");
    assert!(config.contains("url = \"https://example.com/mcp/${env:REMOTE_URL}/sse\""), "{config}");
    assert!(config.contains("Cookie = \"env://REMOTE_COOKIE\""), "{config}");
    assert!(server(&report, "behind")["why"].as_str().unwrap().contains("behind refmon already"));
    assert!(place.refmon(&["policy", "check"], &[]).status.success());
}

#[test]
fn gemini_folders_and_values_that_refmon_would_take_for_references_are_kept() {
    let place = place("gemini.json");
    let (code, report, errors) = place.import(&[("CANARY_SET", "canary-set")]);
    assert_eq!(code, 0, "{report:#}{errors}");
    let config = place.written("refmon.toml");
    assert!(config.contains("X = \"env://CANARY_SET\", ROOT = \"env://TOOLS_ROOT\""), "{config}");
    assert!(config.contains(&format!("cwd = \"{}\"", servers().display())), "{config}");
    assert!(says(&server(&report, "tools")["notes"], "`trust`, `excludeTools`"), "{report:#}");
    let diff = place.refmon(
        &["contract", "diff", "tools"],
        &[("CANARY_SET", "canary-set"), ("TOOLS_ROOT", "file:///num/canary.db")],
    );
    assert!(diff.status.success(), "{}", text(&diff.stderr));
}

#[test]
fn codex_is_toml_and_names_its_variables() {
    let place = place("codex.toml");
    let (code, report, errors) = place.import(&[]);
    assert_eq!(code, 0, "{report:#}{errors}");
    let config = place.written("refmon.toml");
    assert!(config.contains("SECRET_WORD = \"env://TOOLS_SECRET_WORD\""), "{config}");
    assert!(config.contains("Authorization = \"Bearer ${env:REMOTE_TOKEN}\""), "{config}");
    assert!(config.contains("X-Key = \"env://REMOTE_KEY\"") && config.contains("X-Team = \"notes\""), "{config}");
    assert_eq!(server(&report, "off")["state"], "skipped");
    assert!(says(&report["next"], "settings:3 `mcp_servers.tools`"), "{report:#}");
}

#[test]
fn nothing_is_started_without_a_yes_and_nothing_is_overwritten() {
    let place = place("codex.toml");
    fs::write(&place.client, "[mcp_servers.tools]\ncommand = \"touch\"\nargs = [\"started\"]\n").unwrap();
    let from = place.client.display().to_string();
    let output = place.refmon(&["init", "--from", &from], &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("\"touch\" \"started\""), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("nothing was written"), "{}", text(&output.stdout));
    assert_eq!(fs::read_dir(place.home()).unwrap().count(), 0);

    let place = self::place("cursor.json");
    place.import(&[("CANARY_SET", "canary-set")]);
    let before = ["refmon.toml", "contracts/tools.toml", "policies/tools.cedar"].map(|file| place.written(file));
    let (code, report, _) = place.import(&[("CANARY_SET", "canary-set")]);
    assert_eq!(code, 1);
    assert!(server(&report, "tools")["why"].as_str().unwrap().contains("not overwritten"), "{report:#}");
    let after = ["refmon.toml", "contracts/tools.toml", "policies/tools.cedar"].map(|file| place.written(file));
    assert_eq!(before, after);
}

#[test]
fn a_server_that_tells_its_secret_in_its_list_of_tools_is_left_out() {
    let place = written(
        r#"{"mcpServers":{"tells":{"command":"python3","args":["SERVER","-","--tell"],"env":{"API_TOKEN":"canary-1234567890"}}}}"#,
    );
    let (code, report, _) = place.import(&[]);
    assert_eq!(code, 1);
    assert!(server(&report, "tells")["why"].as_str().unwrap().contains("one of the file's secrets"), "{report:#}");
    assert_eq!(fs::read_dir(place.home()).unwrap().count(), 0);
}

#[test]
fn a_secret_that_is_known_from_one_place_is_moved_from_all() {
    let place = written(
        r#"{"mcpServers":{"a":{"url":"https://a.example","headers":{"X-Token":"plain-canary-1"}},"b":{"url":"https://b.example/plain-canary-1/x"}}}"#,
    );
    let (code, _, _) = place.import(&[]);
    assert_eq!(code, 0);
    let config = place.written("refmon.toml");
    assert!(config.contains("url = \"https://b.example/${env:A_X_TOKEN}/x\""), "{config}");
}

#[test]
fn keys_of_the_other_kind_of_server_are_said_and_suspected_names_are_moved() {
    let place = written(
        r#"{"mcpServers":{"a":{"url":"https://a.example","env":{"GITHUB_PAT":"canary"},"cwd":"/"},"b":{"command":"python3","args":["SERVER","-"],"env":{"GITHUB_PAT":"canary","SORT":"up"},"headers":{"A":"b"}}}}"#,
    );
    let (code, report, errors) = place.import(&[]);
    assert_eq!(code, 0, "{report:#}{errors}");
    assert!(says(&server(&report, "a")["notes"], "`env`, `cwd`") && says(&server(&report, "b")["notes"], "`headers`"));
    let config = place.written("refmon.toml");
    assert!(config.contains("env = { GITHUB_PAT = \"env://B_GITHUB_PAT\", SORT = \"up\" }"), "{config}");
}

#[test]
fn what_is_no_list_of_servers_gets_a_clear_error_with_its_place() {
    let cases = [
        ("{\n  \"mcpServers\": {\n    \"a\": { \"command\": \"x\" \"args\": [] }\n  }\n}", "settings:3: "),
        ("[mcp_servers.a]\ncommand = \"x\nargs = []\n", "settings:2: "),
        (
            "{\n\"mcpServers\": {\n\"a\": {\"command\":\"canary\"},\n\"a\": {}}}",
            "settings:4: `a` stands here a second time",
        ),
        ("{\"mcpServers\": []}", "`mcpServers` must be a table"),
        ("{\"mcpServers\": {}}", "there are no servers in it"),
        ("{\"theme\": \"dark\"}", "it has none of `mcpServers`, `servers` and `mcp_servers`"),
        ("", "it has none of"),
    ];
    for (client, says) in cases {
        let place = written(client);
        let output = place.refmon(&["init", "--yes", "--from", &place.client.display().to_string()], &[]);
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{client}: {error}");
        assert!(error.contains(says) && !error.contains(CANARY), "{client}: {error}");
        assert_eq!(fs::read_dir(place.home()).unwrap().count(), 0);
    }
    let place =
        written(r#"{"servers":{"a":{"command":7},"b":"x","c":{},"d":{"command":"x","url":"https://e.example"}}}"#);
    let (code, report, _) = place.import(&[]);
    assert_eq!(code, 1);
    for (name, why) in [("a", "`command` must be text"), ("b", "no table"), ("c", "neither"), ("d", "both")] {
        assert!(server(&report, name)["why"].as_str().unwrap().contains(why), "{report:#}");
    }
}

#[test]
fn only_an_ordinary_file_of_sensible_size_is_read() {
    let place = written("{}");
    let large = place.folder.path().join("large");
    fs::File::create(&large).unwrap().set_len(100 * 1024 * 1024).unwrap();
    for (file, says) in [
        (large.display().to_string(), "more than 4 MiB"),
        (place.home().display().to_string(), "no ordinary file"),
        ("no-such-file".to_owned(), "No such file"),
    ] {
        let output = place.refmon(&["init", "--yes", "--from", &file], &[]);
        assert_eq!(output.status.code(), Some(2));
        assert!(text(&output.stderr).contains(says), "{}", text(&output.stderr));
    }
    let both = place.refmon(&["init", "--from", "x", "--", "cmd"], &[]);
    assert_eq!(both.status.code(), Some(2));
    assert!(text(&both.stderr).contains("cannot be used with"), "{}", text(&both.stderr));
}
