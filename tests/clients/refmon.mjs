// Puts refmon in front of a server: what its user would do with `refmon init`, in a folder of its own.
import { execFileSync, spawn } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";

/** Makes the folder's configuration; a server is a command or `{ url }`. The answer starts the wrapped server. */
export function prepare(refmon, folder, name, server, rewrite) {
  for (const made of [".refmon", "refmon.toml", "contracts", "policies"]) rmSync(path.join(folder, made), { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const config = path.join(folder, "refmon.toml");
  const target = server.url ? ["--url", server.url, "--private"] : ["--", server.command, ...server.args];
  execFileSync(refmon, ["--config", config, "init", "--yes", "--name", name, ...target], { cwd: folder, stdio: "ignore" });
  if (rewrite) {
    const contract = path.join(folder, "contracts", `${name}.toml`);
    writeFileSync(contract, rewrite(readFileSync(contract, "utf8"), name));
    writeFileSync(path.join(folder, "policies", `${name}.cedar`), "// Everything in the contract only reads, which the pack `baseline` permits.\n");
  }
  // The configuration is found in the folder: an option of refmon's would be taken by the Inspector for one of its own.
  return { command: refmon, args: ["wrap"], cwd: folder };
}

/** Starts `refmon serve` in a folder, and gives the process and the address of MCP. */
export function serve(refmon, folder) {
  const child = spawn(refmon, ["serve"], { cwd: folder, stdio: ["ignore", "pipe", "ignore"] });
  return new Promise((resolve, reject) => {
    let said = "";
    child.stdout.on("data", (data) => {
      said += data;
      const found = /http:\/\/127\.0\.0\.1:\d+\/mcp/.exec(said);
      if (found) resolve({ child, url: found[0] });
    });
    child.once("exit", () => reject(new Error(`refmon ended: ${said}`)));
  });
}

const METHODS = [
  "resources/list", "resources/templates/list", "resources/read", "resources/subscribe", "prompts/list", "prompts/get",
  "completion/complete", "tasks/get", "tasks/result", "tasks/list", "tasks/cancel", "tasks/update",
  "sampling/createMessage", "elicitation/create", "roots/list",
];

/** A contract that permits everything: refmon then has no reason to change a byte. Never do this with a real server. */
export function permitEverything(contract, name) {
  const entry = (header, pin) => [header, ...pin, 'effects = ["read"]', `required_scopes = ["${name}:read"]`, ""].join("\n");
  const tools = [...contract.matchAll(/^(\[tool\.[^\].]+\])\n(pin = .*)$/gm)].map(([, header, pin]) => entry(header, [pin]));
  const methods = METHODS.map((method) => entry(`[method."${method}"]`, []));
  return [`server = "${name}"`, "version = 1", "", ...tools, ...methods].join("\n");
}
