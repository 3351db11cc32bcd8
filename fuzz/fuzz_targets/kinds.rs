//! Argument kinds over any text: no panic, bounded work, and the facts are those that the schema of policies has.
#![no_main]

use std::path::PathBuf;

use libfuzzer_sys::fuzz_target;
use refmon_core::contract::{ArgumentPath, ArgumentRule, Contract, Effect, Effects, HoldMode, Kind, Role};
use refmon_core::ids::{Operation, ServerName, ToolName};
use refmon_core::json::Json;
use refmon_core::kinds::{extract, fact_types};
use refmon_core::ports::{Fault, Files, Location};

struct Plain;

impl Files for Plain {
    fn locate(&self, absolute: &str, _: &[PathBuf]) -> Result<Location, Fault> {
        Ok(Location { canonical: absolute.to_owned(), root: Some(0), exists: false, guarded: false, encloses: false, personal: false })
    }
}

fn kinds() -> Vec<Kind> {
    let text = |text: &str| vec![text.to_owned()];
    vec![
        Kind::Path { roots: vec![PathBuf::from("/r")], base: Some(PathBuf::from("/r")) },
        Kind::Url { schemes: text("https"), hosts: vec![], private: false },
        Kind::Email { domains: vec![] },
        Kind::Domain { domains: text("example.org") },
        Kind::Amount { max: None },
        Kind::Command { programs: vec![] },
        Kind::Sql { write: true },
        Kind::Id,
        Kind::When,
        Kind::Content,
        Kind::Flag,
    ]
}

fuzz_target!(|bytes: &[u8]| {
    let Some((which, rest)) = bytes.split_first() else { return };
    let all = kinds();
    let kind = all[usize::from(*which) % all.len()].clone();
    let many = which & 0x80 != 0;
    let value = match Json::parse(rest) {
        Ok(json) => json,
        Err(_) => Json::Text(String::from_utf8_lossy(rest)),
    };
    let value = if many { Json::List(vec![value.clone(), value]) } else { value };
    let arguments = Json::Object(vec![("a".into(), value)]);
    let path = ArgumentPath::parse(if many { "a[]" } else { "a" }).expect("a path");
    let rule = ArgumentRule { path: path.clone(), kind: kind.clone(), role: Role::Other };
    let contract = Contract {
        server: ServerName::parse("s").expect("a name"),
        operation: Operation::Tool(ToolName::parse("t").expect("a name")),
        version: 1,
        pin: None,
        effects: Effects::new([Effect::Read]).expect("an effect"),
        required_scopes: vec![],
        hold: HoldMode::Policy,
        undeclared: false,
        arguments: [(path, rule)].into(),
    };
    let Ok(facts) = extract(&contract, &arguments, &Plain) else { return };
    for (_, facts) in facts.iter() {
        let types = fact_types(&kind, many);
        assert_eq!(facts.len(), types.len());
        assert!(types.iter().all(|(name, _)| facts.contains_key(name)));
    }
});
