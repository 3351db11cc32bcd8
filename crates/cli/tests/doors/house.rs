//! The folder that all doors share: one server, its contract, policies, and something to read.

use std::fs;
use std::path::{Path, PathBuf};

use refmon_core::bundle::pin;
use refmon_core::json::Json;
use serde_json::{Value, json};
use tempfile::TempDir;

/// The folder, and the definitions that the server lists.
pub(crate) struct House {
    pub(crate) folder: TempDir,
    pub(crate) definitions: Vec<Value>,
}

/// What the server has: its tools, each with its argument.
const TOOLS: &[(&str, &str, &str)] = &[
    ("read", "path", "string"),
    ("write", "path", "string"),
    ("delete", "path", "string"),
    ("changed", "path", "string"),
    ("mail", "to", "string"),
    ("fetch", "url", "string"),
    ("query", "sql", "string"),
    ("count", "n", "integer"),
    ("pay", "n", "number"),
    ("note", "text", "string"),
    ("secret", "text", "string"),
];

const POLICY: &str = r#"
@id("all") @reason("all is permitted")
permit (principal, action, resource);

@id("no-strangers") @reason("mail stays in the house")
forbid (principal, action == Refmon::Action::"doors/mail@1", resource)
unless { context.facts has to && context.facts.to.domain == "example.com" };

@id("large") @reason("negative payments are decided by a person") @approval("person")
forbid (principal, action == Refmon::Action::"doors/pay@1", resource)
when { context.facts has n && context.facts.n.negative }
unless { context.granted.contains("approval:person") };
"#;

impl House {
    pub(crate) fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let path = |name: &str| folder.path().join(name);
        for name in ["contracts", "policies", "root", "root/in"] {
            fs::create_dir(path(name)).unwrap();
        }
        fs::write(path("root/a.txt"), "a").unwrap();
        std::os::unix::fs::symlink("/etc", path("root/link")).unwrap();
        let mut definitions: Vec<Value> = TOOLS.iter().map(|(name, key, kind)| definition(name, key, kind)).collect();
        // One tool is not what its contract was made for any more.
        for listed in definitions.iter_mut().filter(|listed| listed["name"] == "changed") {
            listed["description"] = json!("does something else now");
        }
        fs::write(path("listed.json"), json!({ "tools": definitions }).to_string()).unwrap();
        fs::write(path("contracts/doors.toml"), contract(folder.path())).unwrap();
        let known: Vec<Value> = contracted().map(|(name, key, kind)| definition(name, key, kind)).collect();
        let known = json!({ "server": "doors", "tools": known }).to_string();
        fs::write(path("contracts/doors.definitions.json"), known).unwrap();
        fs::write(path("policies/all.cedar"), POLICY).unwrap();
        for data in ["stdio", "legacy", "modern", "access", "calls"] {
            fs::write(path(&format!("{data}.toml")), config(folder.path(), data)).unwrap();
        }
        Self { folder, definitions }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// What has a contract: also a tool that the server does not list.
fn contracted() -> impl Iterator<Item = &'static (&'static str, &'static str, &'static str)> {
    TOOLS.iter().chain(&[("unlisted", "path", "string")])
}

fn definition(name: &str, key: &str, kind: &str) -> Value {
    json!({
        "name": name,
        "description": name,
        "inputSchema": {
            "type": "object",
            "properties": { key: { "type": kind }, "text": { "type": "string", "maxLength": 10_000 }, "deep": {} },
            "required": [key],
        },
    })
}

fn contract(folder: &Path) -> String {
    let root = folder.join("root");
    let mut text = "server = \"doors\"\nversion = 1\n".to_owned();
    for (name, key, kind) in contracted() {
        let pin = pin(&Json::parse(definition(name, key, kind).to_string().as_bytes()).unwrap());
        let effect = match *name {
            "read" | "query" | "count" | "changed" | "unlisted" => "read",
            "mail" | "pay" | "fetch" => "external",
            "delete" => "destructive",
            _ => "write",
        };
        let scope = if *name == "secret" { "doors:secret" } else { "doors:use" };
        text.push_str(&format!(
            "[tool.{name}]\npin = \"{pin}\"\neffects = [\"{effect}\"]\nrequired_scopes = [\"{scope}\"]\n"
        ));
        if *name == "count" {
            text.push_str("hold = \"always\"\n");
        }
        let extra = match *key {
            "path" => format!("kind = \"path\"\nroots = [{:?}]\n", root.display().to_string()),
            "to" => "kind = \"email\"\nrole = \"target\"\n".to_owned(),
            "url" => "kind = \"url\"\nhosts = [\"example.com\"]\n".to_owned(),
            "sql" => "kind = \"sql\"\n".to_owned(),
            "n" if *name == "pay" => "kind = \"amount\"\nmax = \"1000\"\n".to_owned(),
            "n" => continue,
            _ => "kind = \"content\"\n".to_owned(),
        };
        text.push_str(&format!("[tool.{name}.args.{key}]\n{extra}"));
    }
    text
}

fn config(folder: &Path, data: &str) -> String {
    // Who names others needs a scope of its own, which it does not pass on.
    let scopes = if data == "access" { r#""doors:use", "refmon:decide""# } else { r#""doors:use""# };
    let server = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/servers/doors_server.py");
    format!(
        "version = 1\ndata = \"{data}.data\"\n[identity]\nuser = \"u\"\nscopes = [{scopes}]\n\
         [listen]\nhttp = \"127.0.0.1:0\"\n[policy]\ndir = \"policies\"\n\
         [[server]]\nname = \"doors\"\ncontract = \"contracts/doors.toml\"\ncommand = [\"python3\", {server:?}, {:?}]\n",
        folder.join("listed.json")
    )
}
