// Held calls of every published client: each waits while nobody decides, by the means that it has, and gets its answer when a
// person has approved. WAIT_SECONDS (75: longer than the minute after which the SDKs give up on silence) says for how long nobody does.
// Arguments: refmon's program, a folder, the Python with the clients, and the server whose calls are counted.
import { execFile, execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { promisify } from "node:util";
import { Client as Client2, StreamableHTTPClientTransport as Http2 } from "@modelcontextprotocol/client";
import { StdioClientTransport as Transport2 } from "@modelcontextprotocol/client/stdio";
import { Client as Client1 } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport as Transport1 } from "@modelcontextprotocol/sdk/client/stdio.js";
import { StreamableHTTPClientTransport as Http1 } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { inspectorNode } from "./matrix-clients.mjs";
import { serve } from "./refmon.mjs";

const [refmon, folder, python, program] = process.argv.slice(2).map((argument) => path.resolve(argument));
const here = import.meta.dirname;
const WAIT_SECONDS = Number(process.env.WAIT_SECONDS || 75);
const GIVE_UP_MS = (WAIT_SECONDS + 120) * 1000;
const IDENTITY = { name: "refmon-holds", version: "1" };
const run = promisify(execFile);
let decided;
const approved = new Promise((resolve) => (decided = resolve));
const call = (text) => ({ name: "echo", arguments: { text } });
// What a client does that wants to wait for long: it asks for progress, and counts its patience from the last word.
const waiting = { onprogress: () => {}, resetTimeoutOnProgress: true };

async function typescript(client, transport, ask) {
  await client.connect(transport);
  try {
    return await ask(client);
  } finally {
    await client.close();
  }
}

const sdk1 = (server, text) =>
  typescript(new Client1(IDENTITY), server.url ? new Http1(new URL(server.url)) : new Transport1({ ...server, stderr: "ignore" }), (client) =>
    client.callTool(call(text), undefined, waiting));
const sdk2 = (mode) => (server, text) =>
  typescript(new Client2(IDENTITY, { versionNegotiation: { mode } }), server.url ? new Http2(new URL(server.url)) : new Transport2({ ...server, stderr: "ignore" }), (client) =>
    client.callTool(call(text), waiting));
const snake = (mode) => async (server, text) => {
  const job = JSON.stringify({ server, mode, asks: [["tools/call", call(text)]], progress: true });
  const { stdout } = await run(python, [path.join(here, "matrix.py"), job], { timeout: GIVE_UP_MS });
  return JSON.parse(stdout).results[0];
};
async function inspector(server, text) {
  const launcher = path.join(here, "node_modules", "@modelcontextprotocol", "inspector", "clients", "launcher", "build", "index.js");
  const target = server.url ? [server.url, "--transport", "http"] : [server.command, ...server.args];
  const args = [launcher, "--cli", ...target, "--method", "tools/call", "--tool-name", "echo", "--tool-arg", `text=${text}`];
  const once = () => run(inspectorNode(), args, { cwd: server.cwd, timeout: GIVE_UP_MS });
  // It asks for no progress, so it is told at once that its call is held, and calls again when that was approved.
  const told = await once().then(({ stdout }) => stdout, (error) => `${error.message}${error.stdout}`);
  if (!told.includes("hold")) throw new Error(`not held: ${told}`);
  await approved;
  return JSON.parse((await once()).stdout);
}

const CLIENTS = [
  ["TypeScript sdk 1.32.2", sdk1],
  ["TypeScript client 2.4.0, legacy", sdk2("legacy")],
  ["TypeScript client 2.4.0, 2026-07-28", sdk2({ pin: "2026-07-28" }), "newer"],
  ["Python mcp 2.3.0, legacy", snake("legacy")],
  ["Python mcp 2.3.0, 2026-07-28", snake("2026-07-28"), "newer"],
  ["Inspector CLI 2.12.0", inspector],
];

/** A folder with one server whose every call of `echo` waits for a person; the server speaks the older era. */
function prepare(name) {
  const place = path.join(folder, name);
  mkdirSync(place, { recursive: true });
  const log = path.join(place, "calls.log");
  const config = path.join(place, "refmon.toml");
  execFileSync(refmon, ["--config", config, "init", "--yes", "--name", "one", "--", "python3", program, "legacy", log], { cwd: place, stdio: "ignore" });
  const contract = path.join(place, "contracts", "one.toml");
  const tools = [...readFileSync(contract, "utf8").matchAll(/^(\[tool\.[^\].]+\])\n(pin = .*)$/gm)];
  const entries = tools.map(([, header, pin]) => `${header}\n${pin}\neffects = ["write"]\nhold = "always"\n`);
  writeFileSync(contract, ['server = "one"', "version = 1", "", ...entries].join("\n"));
  writeFileSync(path.join(place, "policies", "one.cedar"), '@id("all") @reason("all is permitted") permit (principal, action, resource);\n');
  writeFileSync(config, `${readFileSync(config, "utf8")}\n[listen]\nhttp = "127.0.0.1:0"\n`);
  return { place, config, log };
}

const holds = ({ config }) => JSON.parse(execFileSync(refmon, ["--config", config, "--json", "holds", "list"])).filter(({ state }) => state === "pending");
const sleep = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));
const counted = ({ log }) => (existsSync(log) ? readFileSync(log, "utf8").trim().split("\n").filter(Boolean).map((line) => JSON.parse(line)) : []);

rmSync(folder, { recursive: true, force: true });
const site = prepare("site");
const gateway = await serve(refmon, site.place);
let wrong = 0;
try {
  // Over HTTP all are callers of one gateway; over standard streams each starts a refmon of its own on the same folder.
  const stdio = { command: refmon, args: ["wrap"], cwd: site.place };
  const asked = CLIENTS.flatMap(([name, ask, only]) => [
    { name: `${name}, HTTP`, text: `${name} over HTTP`, ask, server: { url: gateway.url } },
    ...(only === "newer" ? [] : [{ name: `${name}, stdio`, text: `${name} over stdio`, ask, server: stdio }]),
  ]);
  const answers = asked.map(({ ask, server, text }) => ask(server, text).then((result) => result, (error) => error));
  for (let tries = 0; holds(site).length < asked.length && tries < 60; tries += 1) await sleep(1);
  const placed = holds(site).length;
  console.log(`${placed} of ${asked.length} calls wait; nobody decides for ${WAIT_SECONDS} s`);
  await sleep(WAIT_SECONDS);
  const before = counted(site).length;
  if (placed !== asked.length || before !== 0) wrong += 1;
  for (const { hold } of holds(site)) execFileSync(refmon, ["--config", site.config, "holds", "approve", hold], { stdio: "ignore" });
  decided();
  const results = await Promise.all(answers);
  await sleep(3);
  for (const [index, { name, text }] of asked.entries()) {
    const times = counted(site).filter(([, { text: said }]) => said === text).length;
    const said = results[index]?.content?.[0]?.text;
    const fine = said === text && times === 1;
    if (!fine) wrong += 1;
    console.log(`${name}: ${fine ? "its answer, and one run" : `${times} runs, ${said ?? results[index]?.message ?? JSON.stringify(results[index])}`.slice(0, 400)}`);
  }
} finally {
  gateway.child.kill();
}
process.exit(wrong ? 1 : 0);
