// Drives the published filesystem server through `refmon wrap` with the published TypeScript client, and prints what
// refmon decided. Arguments: refmon's program, the folder with refmon.toml.
import { execFileSync } from "node:child_process";
import { readFileSync, existsSync } from "node:fs";
import path from "node:path";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";

const [refmon, folder] = process.argv.slice(2);
const config = path.join(folder, "refmon.toml");
const file = (name) => path.join(folder, "sandbox", name);
const verdictOf = (result) => result._meta?.["refmon.dev/verdict"];
const rows = [];
let failures = 0;

const client = new Client({ name: "quickstart", version: "1" });
await client.connect(new StdioClientTransport({ command: refmon, args: ["--config", config, "wrap"], cwd: folder, stderr: "ignore" }));
const { tools } = await client.listTools();
console.log(`\nthe client sees ${tools.length} tools through refmon\n`);

async function call(what, name, args, expected) {
  const result = await client.callTool({ name, arguments: args });
  const verdict = verdictOf(result);
  const decision = verdict ? verdict.decision : "permit";
  const reason = verdict ? verdict.reason : "permitted";
  if (decision !== expected) failures += 1;
  rows.push([what, name, decision + (decision === expected ? "" : ` (expected ${expected})`), reason]);
  return { result, verdict };
}

await call("read a file", "read_text_file", { path: file("notes.txt") }, "permit");
await call("read outside the folder", "read_text_file", { path: file("../../../../../../../../etc/passwd") }, "deny");
await call("read refmon's own policy", "read_text_file", { path: path.join(folder, "policies", "files.cedar") }, "deny");
await call("call a tool nobody contracted", "delete_everything", {}, "deny");
const write = { path: file("report.txt"), content: "written once\n" };
const held = await call("write a file", "write_file", write, "hold");
if (existsSync(file("report.txt"))) throw new Error("a held call ran");
execFileSync(refmon, ["--config", config, "holds", "approve", held.verdict.hold], { stdio: "ignore" });
await call("the same write, approved", "write_file", write, "permit");
await call("the same write once more", "write_file", write, "hold");
await client.close();
if (readFileSync(file("report.txt"), "utf8") !== write.content) failures += 1;

const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
for (const row of rows) console.log("  " + row.map((text, column) => text.padEnd(widths[column])).join("  ").trimEnd());
if (failures > 0) {
  console.error(`\n${failures} calls were not decided as they should be`);
  process.exit(1);
}
