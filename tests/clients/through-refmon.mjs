// The client that the conformance suite starts: puts refmon in front of the suite's server, then does through refmon what
// the server offers. Argument: the URL, which the suite appends; the environment has refmon's program, the client's revision
// and a folder. What fails is said in a line of its own, and the last line is "done".
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { permitEverything, prepare } from "./refmon.mjs";

const [url] = process.argv.slice(2);
const { CONFORMANCE_REFMON: refmon, CONFORMANCE_CLIENT: revision, CONFORMANCE_FOLDER: work } = process.env;
const IDENTITY = { name: "refmon-conformance", version: "1" };
const ABLE = { capabilities: { elicitation: { form: { applyDefaults: true } } } };
const UNRELATED = "test_mrtr_unrelated";

/** Starts `refmon serve` in front of the suite's server; the answer has the URL that it listens at. */
function serve() {
  const folder = mkdtempSync(path.join(work, "home-"));
  prepare(refmon, folder, "suite", { url }, permitEverything);
  writeFileSync(path.join(folder, "policies", "suite.cedar"), '@id("all") @reason("the suite may call everything") permit (principal, action, resource);\n');
  const file = path.join(folder, "refmon.toml");
  writeFileSync(file, `${readFileSync(file, "utf8")}\n[listen]\nhttp = "127.0.0.1:0"\n`);
  const child = spawn(refmon, ["--json", "serve"], { cwd: folder, stdio: ["ignore", "pipe", "inherit"] });
  return new Promise((resolve, reject) => {
    let said = "";
    child.stdout.on("data", (data) => {
      said += data;
      if (said.includes("\n")) resolve({ child, listening: JSON.parse(said.split("\n")[0]).listening });
    });
    child.once("exit", () => reject(new Error(`refmon ended: ${said}`)));
  });
}

/** The published client of the revision; the other is not loaded. */
async function published() {
  if (revision >= "2026") {
    const { Client, StreamableHTTPClientTransport: Http } = await import("@modelcontextprotocol/client");
    return { client: new Client(IDENTITY, { ...ABLE, versionNegotiation: { mode: { pin: revision } } }), Http, elicitation: "elicitation/create" };
  }
  const { Client } = await import("@modelcontextprotocol/sdk/client/index.js");
  const { StreamableHTTPClientTransport: Http } = await import("@modelcontextprotocol/sdk/client/streamableHttp.js");
  const { ElicitRequestSchema: elicitation } = await import("@modelcontextprotocol/sdk/types.js");
  return { client: new Client(IDENTITY, ABLE), Http, elicitation };
}

/** A client that is connected; `asked` is called before it accepts what it is asked for. */
async function connect(to, asked) {
  const { client, Http, elicitation } = await published();
  client.setRequestHandler(elicitation, async () => (await asked(), { action: "accept", content: {} }));
  await client.connect(new Http(to));
  return client;
}

const SAMPLES = { number: 2, integer: 2, boolean: true, array: [], object: {}, null: null };

/** Arguments that a tool requires, each of the type that it names. */
function sample({ properties = {}, required = [] }) {
  return Object.fromEntries(required.map((name) => [name, SAMPLES[properties[name]?.type] ?? "a"]));
}

const full = (given) => Object.fromEntries(Object.entries(given).filter(([, value]) => value !== null));

/** The calls that the suite wants, else one of every tool. */
function wanted(tools) {
  const { toolCalls } = JSON.parse(process.env.MCP_CONFORMANCE_CONTEXT ?? "{}");
  const echo = tools.find(({ name }) => name === "json_schema_echo");
  if (echo) return [{ name: echo.name, arguments: { schema: tools.find((tool) => tool !== echo).inputSchema } }];
  // What has nothing to do with a question is called while the question waits.
  const names = tools.filter(({ name }) => name !== UNRELATED);
  const calls = toolCalls ?? names.map(({ name, inputSchema }) => ({ name, arguments: sample(inputSchema) }));
  // A null may be against the tool's schema, and is then denied; left out it says the same.
  return calls.flatMap((call) => (Object.values(call.arguments).includes(null) ? [call, { ...call, arguments: full(call.arguments) }] : [call]));
}

/** Does one thing; that it fails does not keep the rest from being done. */
async function attempt(what, doing) {
  try {
    const result = await doing();
    console.log(result.isError ? "failed" : "ok", what, JSON.stringify(result));
  } catch (error) {
    console.log("failed", what, error.message);
  }
}

async function drive(client, tools) {
  for (const call of wanted(tools)) await attempt(call.name, () => client.callTool(call));
  const { resources, prompts } = client.getServerCapabilities();
  if (resources) for (const { uri } of (await client.listResources()).resources) await attempt(uri, () => client.readResource({ uri }));
  if (prompts) for (const { name } of (await client.listPrompts()).prompts) await attempt(name, () => client.getPrompt({ name }));
}

const gateway = await serve();
// Before the suite loses patience, which would end this process and leave refmon's.
const deadline = setTimeout(() => gateway.child.kill() && process.exit(1), 20_000);
try {
  let tools = [];
  const client = await connect(new URL(gateway.listening), async () => {
    if (tools.some(({ name }) => name === UNRELATED)) await attempt(UNRELATED, () => client.callTool({ name: UNRELATED, arguments: {} }));
  });
  ({ tools } = await client.listTools());
  console.log(`listed ${tools.map(({ name }) => name).join(" ")}`);
  await drive(client, tools);
  await client.close();
  console.log("done");
} finally {
  clearTimeout(deadline);
  gateway.child.kill();
}
