// Published clients against published servers, directly and through refmon: the same tools, the same results.
// The contracts are what `refmon init` suggests, but for the fixture, whose names say nothing about what its tools
// do: with the suggestion a person would have to decide on every call. Arguments: refmon's program, a folder for
// the runs, a Python with the package `mcp`, the document to write.
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { isDeepStrictEqual } from "node:util";
import { clients } from "./matrix-clients.mjs";
import { servers } from "./matrix-servers.mjs";
import { permitEverything, prepare } from "./refmon.mjs";

const [refmon, work, pythonProgram, document] = process.argv.slice(2).map((argument) => path.resolve(argument));
rmSync(work, { recursive: true, force: true });
mkdirSync(work, { recursive: true });

async function attempt(drive, server, asks) {
  try {
    return await drive(server, asks);
  } catch (error) {
    return { failure: String(error.message ?? error).split("\n")[0] };
  }
}

function contractedIn(folder, name) {
  const { tools } = JSON.parse(readFileSync(path.join(folder, "contracts", `${name}.definitions.json`), "utf8"));
  return new Set(tools.map((tool) => tool.name));
}

async function pair(client, { name, server, asks: all }, wrapped) {
  const asks = all.slice(0, client.asks);
  const [direct, through] = await Promise.all([attempt(client.drive, server, asks), attempt(client.drive, wrapped, asks)]);
  const failure = direct.failure ?? through.failure;
  const results = failure ? 0 : direct.results.filter((result, at) => isDeepStrictEqual(result, through.results[at])).length;
  // A server may list more to a client that can do more than `refmon init` can; what has no contract is not shown.
  const contracted = contractedIn(wrapped.cwd, name);
  const permitted = direct.tools?.filter((tool) => contracted.has(tool.name));
  const passed = !failure && direct.version === through.version && isDeepStrictEqual(permitted, through.tools) && results === asks.length;
  if (!passed) console.log(JSON.stringify({ client: client.name, server: name, direct, through }, null, 1).slice(0, 8_000));
  const tools = (side) => String(side.tools?.length ?? "failed");
  return { passed, row: [client.name, name, through.version ?? "failed", tools(direct), tools(through), `${results} of ${asks.length}`] };
}

const pairs = [];
for (const target of servers(work)) {
  const folder = path.join(work, target.name);
  target.server.cwd = work;
  const wrapped = prepare(refmon, folder, target.name, target.server, target.name === "fixture" && permitEverything);
  for (const client of clients(pythonProgram)) if (!client.only || client.only === target.name) pairs.push(await pair(client, target, wrapped));
}

const passed = pairs.filter((pair) => pair.passed).length;
const header = ["Client", "Server", "Protocol", "Tools directly", "Tools through refmon", "Results equal"];
const rows = [header, header.map(() => "---"), ...pairs.map(({ row }) => row)];
const table = rows.map((row) => `| ${row.join(" | ")} |`).join("\n");
console.log(table);
writeFileSync(document, `# Compatibility

Written by \`tests/clients/run.sh\`: each client does the same with each server, directly and through \`refmon wrap\`.

${table}

Equal means that the client's library hands on the same value. The servers filesystem, memory and everything are
the packages \`@modelcontextprotocol/server-…\` 2026.8.31 with the contracts that \`refmon init\` suggests; the fixture
is \`tests/clients/fixture.mjs\`. The Inspector CLI does not show what it negotiated.
Where fewer tools are seen through refmon, the server lists more to a client that declares more capabilities than
\`refmon init\` does when it asks; a tool without a contract is not shown.
`);
console.log(`matrix: ${passed} pairs equal, ${pairs.length - passed} different`);
process.exit(passed === pairs.length ? 0 : 1);
