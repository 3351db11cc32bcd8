//! Loading: contracts, definitions, packs and policies in, one bundle out. All or nothing.
//!
//! Invariants:
//! - Whatever is wrong with any file, nothing is loaded; the error has all problems that were found.
//! - A tool is in the bundle only with a definition whose pin is the one that its contract states.
//! - The digest of the bundle covers everything that was read and can change a decision: the text of contracts,
//!   the canonical form of the definitions, packs and policies, in an order that does not depend on the file
//!   system, and the folder that relative roots start from.

mod arguments;
mod contract;
mod definitions;
mod headers;
mod kind;
mod policies;
mod reader;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use refmon_core::bundle::{Bundle, Tool, pin};
use refmon_core::caller::Caller;
use refmon_core::contract::{Contract, Step};
use refmon_core::decision::Ruling;
use refmon_core::digest::{BundleDigest, Hasher};
use refmon_core::ids::Operation;
use refmon_core::json::Json;
use refmon_core::ports::{ArgumentSchema, Policy, Question};

pub use contract::{ContractFile, Declared, parse_contract};
pub use definitions::{Definitions, definitions_path, parse_definitions};

use crate::compile::{self, Invisible};
use crate::engine::{Engine, Options};
use crate::lint::{self, Finding, Severity};
use crate::problem::{LoadError, Problem};
use crate::schema::Schema;

/// Bytes of a contract file or a policy file.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// What a bundle is loaded from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sources {
    /// Contract files, one per server, each with its definitions beside it (see [`definitions_path`]).
    pub contracts: Vec<PathBuf>,
    /// The packs that are in force, by name (see [`crate::packs`]).
    pub packs: Vec<String>,
    /// The folder of the operator's policies; every `*.cedar` in it is in force.
    pub policy_dir: Option<PathBuf>,
    /// The folder that relative roots start from. A relative one starts from the current folder.
    pub base: PathBuf,
}

/// What an operator should know about a bundle that was loaded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Warnings of the lints. Errors would have stopped the load.
    pub findings: Vec<Finding>,
    /// What policy cannot see.
    pub invisible: Vec<Invisible>,
    /// Objects whose undeclared properties cannot be refused, each with its action.
    pub open: Vec<String>,
    /// The number of operations.
    pub operations: usize,
    /// The number of policies.
    pub policies: usize,
}

/// A bundle, and the engine inside it.
#[derive(Debug)]
pub struct Loaded {
    /// The bundle.
    pub bundle: Bundle,
    /// The engine that is the bundle's policy, for explanations and health.
    pub engine: Arc<Engine>,
    /// What the operator should know.
    pub report: Report,
}

/// Loads a bundle.
///
/// # Errors
/// [`LoadError`] with every problem that was found, lint errors included.
pub fn load(sources: &Sources) -> Result<Loaded, LoadError> {
    load_with(sources, Options::default())
}

/// Loads a bundle whose engine runs with these options.
///
/// # Errors
/// As [`load`].
pub fn load_with(sources: &Sources, options: Options) -> Result<Loaded, LoadError> {
    let base = std::path::absolute(&sources.base)
        .map_err(|error| LoadError::new(vec![Problem::whole(&sources.base, error.to_string())]))?;
    let mut problems = Vec::new();
    let texts: Vec<Texts> = sources.contracts.iter().filter_map(|path| Texts::read(path, &mut problems)).collect();
    // Schemas and policies each take milliseconds to parse and know nothing of each other.
    let (servers, written) = thread::scope(|scope| {
        let policies = scope.spawn(|| {
            let mut problems = Vec::new();
            (policies::read_policies(&sources.packs, sources.policy_dir.as_deref(), &mut problems), problems)
        });
        let mut servers: Vec<Server<'_>> = Vec::new();
        for text in &texts {
            match text.server(&base) {
                Ok(server) => servers.push(server),
                Err(found) => problems.extend(found),
            }
        }
        refuse_twice(&servers, &mut problems);
        (servers, policies.join())
    });
    let (written, found) =
        written.map_err(|_| LoadError::new(vec![Problem::whole(&base, "reading the policies failed")]))?;
    problems.extend(found);
    if !problems.is_empty() {
        return Err(LoadError::new(problems));
    }
    let digest = digest(&base, &servers, &written);
    assemble(servers, written, digest, options)
}

fn assemble(
    servers: Vec<Server<'_>>,
    written: policies::Written,
    digest: BundleDigest,
    options: Options,
) -> Result<Loaded, LoadError> {
    let operations = || servers.iter().flat_map(|server| &server.operations);
    let with_schemas = operations().map(|one| (&one.contract, one.input.as_ref()));
    let compiled = compile::compile(with_schemas).map_err(|error| whole(&servers, error.to_string()))?;
    let mut findings = written.findings;
    findings.extend(lint::check(&compiled, &written.rules));
    let (errors, warnings): (Vec<_>, Vec<_>) =
        findings.into_iter().partition(|finding| finding.severity == Severity::Error);
    if !errors.is_empty() {
        return Err(LoadError::new(errors.iter().map(Finding::problem).collect()));
    }
    let mut report = Report {
        findings: warnings,
        invisible: compiled.invisible().to_vec(),
        open: Vec::new(),
        operations: compiled.plans().len(),
        policies: written.rules.len(),
    };
    let engine = Engine::new(compiled, written.rules, options).map_err(|error| whole(&servers, error.to_string()))?;
    let engine = Arc::new(engine);
    let mut tools = Vec::new();
    for operation in servers.into_iter().flat_map(|server| server.operations) {
        let action = operation.contract.action();
        report.open.extend(operation.open.into_iter().map(|open| format!("{action}: {open}")));
        tools.push(Tool {
            action,
            contract: operation.contract,
            schema: operation.schema,
            properties: operation.properties,
            headers: operation.input.as_ref().map(headers::mirrored).unwrap_or_default(),
        });
    }
    let bundle = Bundle::new(digest, tools, Box::new(Shared(Arc::clone(&engine))));
    Ok(Loaded { bundle, engine, report })
}

fn whole(servers: &[Server<'_>], message: String) -> LoadError {
    let file = servers.first().map_or(Path::new("contracts"), |server| server.file);
    LoadError::new(vec![Problem::whole(file, message)])
}

/// The texts of one server's files.
struct Texts {
    file: PathBuf,
    contract: String,
    definitions: Option<Vec<u8>>,
}

/// One server, read.
struct Server<'a> {
    file: &'a Path,
    name: String,
    contract: &'a str,
    definitions: String,
    operations: Vec<Loading<'a>>,
}

/// One operation on its way into the bundle.
struct Loading<'a> {
    contract: Contract,
    input: Option<Json<'a>>,
    schema: Option<Box<dyn ArgumentSchema>>,
    properties: BTreeSet<String>,
    open: Vec<String>,
}

impl Texts {
    fn read(file: &Path, problems: &mut Vec<Problem>) -> Option<Self> {
        let contract = read(file, problems)?;
        let contract = match String::from_utf8(contract) {
            Ok(text) => text,
            Err(_) => {
                problems.push(Problem::whole(file, "the file is not UTF-8"));
                return None;
            }
        };
        let path = definitions_path(file);
        let definitions = if path.exists() { Some(read(&path, problems)?) } else { None };
        Some(Self { file: file.to_owned(), contract, definitions })
    }

    fn server<'a>(&'a self, base: &Path) -> Result<Server<'a>, Vec<Problem>> {
        let path = definitions_path(&self.file);
        let definitions = match &self.definitions {
            Some(bytes) => parse_definitions(&path, bytes).map(Some),
            None => Ok(None),
        };
        let parsed = parse_contract(&self.file, &self.contract, base);
        let (parsed, definitions) = match (parsed, definitions) {
            (Ok(parsed), Ok(definitions)) => (parsed, definitions),
            (parsed, definitions) => {
                let mut problems = parsed.err().unwrap_or_default();
                problems.extend(definitions.err().unwrap_or_default());
                return Err(problems);
            }
        };
        let mut problems = Vec::new();
        if let Some(found) = definitions.as_ref().filter(|found| found.server != parsed.server.as_str()) {
            let message =
                format!("these are definitions of `{}`, not of `{}`", found.server.escape_debug(), parsed.server);
            problems.push(Problem::whole(&path, message));
        }
        let empty = BTreeMap::new();
        let tools = definitions.as_ref().map_or(&empty, |found| &found.tools);
        let mut operations = Vec::new();
        for declared in parsed.operations {
            match self.operation(declared, tools) {
                Ok(loading) => operations.push(loading),
                Err(found) => problems.extend(found),
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let canonical: Vec<String> = tools.values().map(Json::canonical).collect();
        Ok(Server {
            file: &self.file,
            name: parsed.server.to_string(),
            contract: &self.contract,
            definitions: canonical.join("\n"),
            operations,
        })
    }

    fn operation<'a>(
        &'a self,
        declared: Declared,
        tools: &BTreeMap<String, Json<'a>>,
    ) -> Result<Loading<'a>, Vec<Problem>> {
        let at = |offset: usize, message: String| vec![Problem::at(&self.file, &self.contract, offset, message)];
        let Operation::Tool(name) = &declared.contract.operation else {
            // The parameters of a protocol method are the protocol's own.
            let properties = top_level(&declared.contract).collect();
            return Ok(Loading {
                contract: declared.contract,
                input: None,
                schema: None,
                properties,
                open: Vec::new(),
            });
        };
        let Some(definition) = tools.get(name.as_str()) else {
            let hint = crate::problem::nearest(name.as_str(), tools.keys().map(String::as_str));
            let path = definitions_path(&self.file);
            let message = format!(
                "`{name}` has no definition in {}{hint}; let `refmon contract accept` fetch it",
                path.file_name().unwrap_or_default().display()
            );
            return Err(at(declared.offset, message));
        };
        let actual = pin(definition);
        if declared.contract.pin != Some(actual) {
            let what = if declared.contract.pin.is_some() { "is pinned to another definition" } else { "has no `pin`" };
            let message = format!(
                "`{name}` {what}: the definition beside the contract is {actual}; look at it, then run `refmon contract accept`"
            );
            return Err(at(declared.pin_offset.unwrap_or(declared.offset), message));
        }
        let Some(input) = definition.member("inputSchema") else {
            return Err(at(declared.offset, format!("the definition of `{name}` has no `inputSchema`")));
        };
        let schema = Schema::compile(input, declared.contract.undeclared)
            .map_err(|error| at(declared.offset, format!("the schema of `{name}`: {error}")))?;
        let mut problems = Vec::new();
        for (path, offset) in &declared.argument_offsets {
            if let Err(message) = arguments::find(input, path.steps()) {
                problems.extend(at(*offset, format!("`{name}` has no argument `{}`{message}", path.as_str())));
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let properties = schema.properties().iter().cloned().chain(top_level(&declared.contract)).collect();
        let open = schema.open().to_vec();
        let input = Some(input.clone());
        Ok(Loading { contract: declared.contract, input, schema: Some(Box::new(schema)), properties, open })
    }
}

/// The top-level names that the contract's rules begin with.
fn top_level(contract: &Contract) -> impl Iterator<Item = String> {
    contract.arguments.keys().filter_map(|path| match path.steps().first() {
        Some(Step::Member(name)) => Some(name.clone()),
        Some(Step::Each) | None => None,
    })
}

fn read(file: &Path, problems: &mut Vec<Problem>) -> Option<Vec<u8>> {
    let found = fs::metadata(file).and_then(|metadata| {
        if metadata.len() > FILE_BYTES_MAX {
            return Ok(Err(format!("the file is larger than {FILE_BYTES_MAX} bytes")));
        }
        fs::read(file).map(Ok)
    });
    match found {
        Ok(Ok(bytes)) => return Some(bytes),
        Ok(Err(message)) => problems.push(Problem::whole(file, message)),
        Err(error) => problems.push(Problem::whole(file, format!("the file cannot be read: {error}"))),
    }
    None
}

fn refuse_twice(servers: &[Server<'_>], problems: &mut Vec<Problem>) {
    let mut seen: BTreeMap<&str, &Path> = BTreeMap::new();
    for server in servers {
        if let Some(first) = seen.insert(&server.name, server.file) {
            let message = format!("the server `{}` has a contract already, in {}", server.name, first.display());
            problems.push(Problem::whole(server.file, message));
        }
    }
}

fn digest(base: &Path, servers: &[Server<'_>], written: &policies::Written) -> BundleDigest {
    let mut sorted: Vec<&Server<'_>> = servers.iter().collect();
    sorted.sort_by(|a, b| a.name.cmp(&b.name));
    let mut hasher = Hasher::new("refmon/bundle/v1");
    hasher.part(base.as_os_str().as_encoded_bytes());
    hasher.part(&(sorted.len() as u64).to_be_bytes());
    for server in sorted {
        hasher.part(server.contract.as_bytes()).part(server.definitions.as_bytes());
    }
    for (name, text) in &written.texts {
        hasher.part(name.as_bytes()).part(text.as_bytes());
    }
    BundleDigest::from_bytes(hasher.finish())
}

/// The engine as a bundle's policy.
struct Shared(Arc<Engine>);

impl Policy for Shared {
    fn rule(&self, question: &Question<'_>) -> Ruling {
        self.0.rule(question)
    }

    fn conceivable(&self, caller: &Caller, tool: &Tool) -> bool {
        self.0.conceivable(caller, tool)
    }
}

#[cfg(test)]
mod tests;
