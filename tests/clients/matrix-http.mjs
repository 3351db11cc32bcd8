// Every client over HTTP, against four published servers at once behind one `refmon serve`: what each gets is what it gets
// from each server directly. Arguments: refmon's program, a folder, the Python with the clients.
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { isDeepStrictEqual } from "node:util";
import { clients } from "./matrix-clients.mjs";
import { servers } from "./matrix-servers.mjs";
import { permitEverything, serve } from "./refmon.mjs";

const [refmon, folder, python] = process.argv.slice(2).map((argument) => path.resolve(argument));
const work = path.join(folder, "work");

/** One configuration with every server in it, each permitted everything. */
function prepareAll(all) {
  const config = path.join(folder, "refmon.toml");
  for (const { name, server } of all) {
    execFileSync(refmon, ["--config", config, "init", "--yes", "--name", name, "--", server.command, ...server.args], { cwd: folder, stdio: "ignore" });
    const contract = path.join(folder, "contracts", `${name}.toml`);
    writeFileSync(contract, permitEverything(readFileSync(contract, "utf8"), name));
    writeFileSync(path.join(folder, "policies", `${name}.cedar`), "// Everything in the contract only reads.\n");
  }
  writeFileSync(config, `${readFileSync(config, "utf8")}\n[listen]\nhttp = "127.0.0.1:0"\n`);
}

/** What the eras add to a result around what the server says. */
const bare = ({ _meta, resultType, ttlMs, cacheScope, nextCursor, ...result }) => result;
const named = (server, [method, params]) => [method, params.name ? { ...params, name: `${server}__${params.name}` } : params];
/** Lists of prompts and resources are everybody's here, so they are left out. */
const own = ([method]) => !method.endsWith("/list");

rmSync(folder, { recursive: true, force: true });
mkdirSync(work, { recursive: true });
const all = servers(work);
prepareAll(all);
const gateway = await serve(refmon, folder);
let wrong = 0;
try {
  for (const client of clients(python)) {
    const chosen = all.map(({ name, server, asks }) => ({ name, server, asks: asks.filter(own).slice(0, client.asks ? 1 : 2) }));
    const asked = chosen.flatMap(({ name, asks }) => asks.map((ask) => ({ name, ask })));
    let equal = 0;
    let seen = { version: "?", tools: [] };
    try {
      seen = await client.drive({ url: gateway.url }, asked.map(({ name, ask }) => named(name, ask)));
      const direct = [];
      for (const { name, server, asks } of chosen) {
        // A client of the newer era alone cannot speak to the older servers directly.
        const other = client.only && name !== client.only ? clients(python).find(({ name: it }) => it.startsWith(client.name.split(",")[0])) : client;
        direct.push(...(await other.drive(server, asks)).results);
      }
      for (const [index, { name, ask }] of asked.entries()) {
        if (isDeepStrictEqual(bare(direct[index]), bare(seen.results[index]))) equal += 1;
        else console.log(`differs: ${name} ${JSON.stringify(ask)}\n  direct  ${JSON.stringify(direct[index]).slice(0, 300)}\n  refmon  ${JSON.stringify(seen.results[index]).slice(0, 300)}`);
      }
    } catch (error) {
      console.log(`${client.name}: ${error.message}`.slice(0, 400));
    }
    const servers = new Set(seen.tools.map(({ name }) => name.split("__")[0])).size;
    console.log(`${client.name} (${seen.version}) over HTTP: ${seen.tools.length} tools of ${servers} servers, ${equal} of ${asked.length} results equal`);
    if (equal !== asked.length || servers !== all.length) wrong += 1;
  }
} finally {
  gateway.child.kill();
}
process.exit(wrong ? 1 : 0);
