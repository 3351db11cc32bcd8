//! A gateway whose servers are run by hosts, and what hosts ask it.

use std::fmt::Write as _;
use std::fs;

use refmon_core::bundle::pin;
use refmon_core::json::Json;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::gateway::{Answer, Gateway};

/// A server of hosts: its name, its tools each with extra lines of contract, and the properties of its schema.
pub(crate) struct Served<'a> {
    pub(crate) name: &'a str,
    pub(crate) tools: &'a [(&'a str, &'a str)],
    pub(crate) schema: Value,
}

/// A schema for questions about something of a host: all that may stand beside the identifier, with its type.
pub(crate) fn schema(resource: &Value, action: &Value, subject: &Value) -> Value {
    let object = |properties: &Value| json!({ "type": "object", "properties": properties });
    json!({
        "type": "object",
        "properties": {
            "id": { "type": "string" }, "resource": object(resource), "action": object(action), "subject": object(subject),
        },
        "required": ["id"],
    })
}

/// A folder with such servers, policies and a directory.
pub(crate) fn folder(servers: &[Served<'_>], policy: &str, directory: &str, extra: &str) -> TempDir {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::create_dir(path("contracts")).unwrap();
    fs::create_dir(path("policies")).unwrap();
    let mut config = format!(
        "version = 1\n[identity]\nkind = \"keys\"\n[listen]\nhttp = \"127.0.0.1:0\"\n[policy]\npacks = []\ndir = \"policies\"\n\
         [access]\ndirectories = [\"directory.toml\"]\n{extra}\n"
    );
    for server in servers {
        let name = server.name;
        write!(config, "[[server]]\nname = \"{name}\"\ncontract = \"contracts/{name}.toml\"\nhost = true\n").unwrap();
        write_contract(&folder, server);
    }
    fs::write(path("refmon.toml"), config).unwrap();
    fs::write(path("policies/all.cedar"), policy).unwrap();
    fs::write(path("directory.toml"), directory).unwrap();
    folder
}

pub(crate) fn write_contract(folder: &TempDir, server: &Served<'_>) {
    let path = |name: &str| folder.path().join(name);
    let name = server.name;
    let mut contract = format!("server = \"{name}\"\nversion = 1\n");
    let mut definitions = Vec::new();
    for (tool, lines) in server.tools {
        let definition = json!({ "name": tool, "description": tool, "inputSchema": server.schema });
        let pin = pin(&Json::parse(definition.to_string().as_bytes()).unwrap());
        write!(contract, "[tool.{tool}]\npin = \"{pin}\"\neffects = [\"write\"]\nundeclared = true\n{lines}\n")
            .unwrap();
        definitions.push(definition);
    }
    fs::write(path(&format!("contracts/{name}.toml")), contract).unwrap();
    let definitions = json!({ "server": name, "tools": definitions }).to_string();
    fs::write(path(&format!("contracts/{name}.definitions.json")), definitions).unwrap();
}

/// A host: a gateway and a credential.
pub(crate) struct Host<'g> {
    pub(crate) gateway: &'g Gateway,
    pub(crate) key: String,
}

impl<'g> Host<'g> {
    pub(crate) fn new(gateway: &'g Gateway, tenant: &str, scopes: &[&str]) -> Self {
        Self::named(gateway, "host", tenant, scopes)
    }

    pub(crate) fn named(gateway: &'g Gateway, user: &str, tenant: &str, scopes: &[&str]) -> Self {
        let mut arguments = vec!["key", "add", "--user", user, "--tenant", tenant, "--agent", "shop"];
        arguments.extend(scopes.iter().flat_map(|scope| ["--scope", scope]));
        let key = gateway.command(&arguments)["key"].as_str().unwrap().to_owned();
        Self { gateway, key }
    }

    pub(crate) fn ask(&self, method: &str, path: &str, extra: &[(&str, &str)], body: &str) -> Answer {
        let bearer = format!("Bearer {}", self.key);
        let mut headers: Vec<(&str, &str)> = extra.to_vec();
        headers.push(("authorization", &bearer));
        let request = self.gateway.written(method, &headers, body).replacen(" /mcp ", &format!(" {path} "), 1);
        self.gateway.raw(request.as_bytes())
    }

    /// Posts JSON, and gives status and JSON.
    pub(crate) fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let answer = self.ask("POST", path, &[], &body.to_string());
        let value = serde_json::from_str(&answer.body).unwrap_or_else(|_| panic!("{answer:?}"));
        (answer.status, value)
    }

    /// The decision on one question.
    pub(crate) fn decides(&self, body: &Value) -> bool {
        let (status, answer) = self.post("/access/v1/evaluation", body);
        assert_eq!(status, 200, "{body}: {answer}");
        answer["decision"].as_bool().unwrap_or_else(|| panic!("{answer}"))
    }

    /// What is found, sorted.
    pub(crate) fn finds(&self, what: &str, body: &Value) -> Vec<String> {
        let (status, answer) = self.post(&format!("/access/v1/search/{what}"), body);
        assert_eq!(status, 200, "{body}: {answer}");
        let key = if what == "action" { "name" } else { "id" };
        let results = answer["results"].as_array().unwrap();
        let mut found: Vec<String> = results.iter().map(|one| one[key].as_str().unwrap().to_owned()).collect();
        if what != "action" {
            assert!(results.iter().all(|one| one["type"] == body[what]["type"]), "{answer}");
        }
        found.sort();
        found
    }
}

/// The records of a gateway, as JSON.
/// A call's attempt and its end. What is not known need not be durable when the answer is given, so the end may come later.
pub(crate) fn ended(gateway: &Gateway, call: &str) -> Value {
    for _ in 0..500 {
        let shown = gateway.command(&["audit", "show", call]);
        if !shown[1].is_null() {
            return shown;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    panic!("the call {call} has no end");
}

pub(crate) fn records(gateway: &Gateway, arguments: &[&str]) -> Vec<Value> {
    let found = gateway.command(&[&["audit", "search", "--limit", "100000"], arguments].concat());
    found.as_array().unwrap().clone()
}
