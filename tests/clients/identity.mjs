// OAuth end to end: a certified OpenID provider, refmon as resource server, a published client that finds its way from the
// refusal to the token by itself. Arguments: refmon's program, a folder.
import { spawn } from "node:child_process";
import { generateKeyPairSync, randomBytes } from "node:crypto";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { Client, ClientCredentialsProvider, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { permitEverything, prepare } from "./refmon.mjs";

const here = path.dirname(fileURLToPath(import.meta.url));
const [refmon, folder] = process.argv.slice(2).map((argument) => path.resolve(argument));
const secret = randomBytes(16).toString("hex");

/** A port that is free now. */
const freePort = () =>
  new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });

async function provider(port, audience) {
  const { default: Provider } = await import("oidc-provider");
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const resource = (wanted) => ({
    scope: "fixture:read",
    audience: wanted === audience ? audience : wanted,
    accessTokenFormat: "jwt",
    accessTokenTTL: 300,
    jwt: { sign: { alg: "ES256" } },
  });
  const made = new Provider(`http://127.0.0.1:${port}`, {
    clients: [
      { client_id: "night-agent", client_secret: secret, grant_types: ["client_credentials"], redirect_uris: [], response_types: [], id_token_signed_response_alg: "ES256" },
    ],
    jwks: { keys: [{ ...privateKey.export({ format: "jwk" }), use: "sig", alg: "ES256", kid: "first" }] },
    scopes: ["fixture:read"],
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: false },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => audience,
        getResourceServerInfo: (_, wanted) => resource(wanted),
        useGrantedResource: () => true,
      },
    },
  });
  return new Promise((resolve) => {
    const server = made.listen(port, "127.0.0.1", () => resolve(server));
  });
}

/** Asks the provider for a token made out to a resource. */
async function token(issuer, resource) {
  const body = new URLSearchParams({ grant_type: "client_credentials", scope: "fixture:read", resource });
  const authorization = `Basic ${Buffer.from(`night-agent:${secret}`).toString("base64")}`;
  const answer = await fetch(`${issuer}/token`, { method: "POST", body, headers: { authorization } });
  const granted = await answer.json();
  if (!granted.access_token) console.log(granted);
  return granted.access_token ?? "none";
}

function serve(home, port) {
  const child = spawn(refmon, ["serve"], { cwd: home, stdio: ["ignore", "pipe", "inherit"] });
  return new Promise((resolve, reject) => {
    child.stdout.on("data", (data) => `${data}`.includes(`:${port}/mcp`) && resolve(child));
    child.once("exit", () => reject(new Error("refmon ended")));
  });
}

const checks = [];
const check = (claim, holds, seen) => {
  checks.push(holds);
  console.log(`${holds ? "ok  " : "FAIL"} ${claim}${holds ? "" : `: ${JSON.stringify(seen)}`}`);
};

rmSync(folder, { recursive: true, force: true });
mkdirSync(folder, { recursive: true });
const [idPort, port] = [await freePort(), await freePort()];
const [issuer, resource] = [`http://127.0.0.1:${idPort}`, `http://127.0.0.1:${port}/mcp`];
const idp = await provider(idPort, resource);
const fixture = { command: process.execPath, args: [path.join(here, "fixture.mjs")] };
prepare(refmon, folder, "fixture", fixture, permitEverything);
const file = path.join(folder, "refmon.toml");
const identity = `[identity]\nkind = "oidc"\ntenant = "acme"\nissuer = "${issuer}"\naudience = "${resource}"\nalgorithms = ["ES256"]\n`;
const text = readFileSync(file, "utf8").replace(/\[identity\][^[]*(\[[^\]]*\]\n)?(?=\n\[policy\])/s, identity);
writeFileSync(file, `${text}\n[listen]\nhttp = "127.0.0.1:${port}"\n`);
const gateway = await serve(folder, port);
try {
  const hello = (bearer) =>
    fetch(resource, {
      method: "POST",
      headers: { "content-type": "application/json", accept: "application/json, text/event-stream", ...(bearer && { authorization: `Bearer ${bearer}` }) },
      body: JSON.stringify({ jsonrpc: "2.0", id: 1, method: "initialize", params: { protocolVersion: "2025-11-25", capabilities: {}, clientInfo: { name: "t", version: "1" } } }),
    });
  const refused = await hello();
  check("without a token the client is told where to get one", refused.status === 401 && refused.headers.get("www-authenticate").includes("resource_metadata="), refused.status);
  const metadata = await (await fetch(`http://127.0.0.1:${port}/.well-known/oauth-protected-resource/mcp`)).json();
  check("the metadata names the issuer and the resource", metadata.resource === resource && metadata.authorization_servers[0] === issuer, metadata);
  const good = await token(issuer, resource);
  check("a token of the issuer lets its agent in", (await hello(good)).status === 200, good);
  check("a token for another resource does not", (await hello(await token(issuer, "https://other.example/mcp"))).status === 401);
  const [head, claims, signature] = good.split(".");
  const forged = Buffer.from(JSON.stringify({ ...JSON.parse(Buffer.from(claims, "base64url")), client_id: "root" })).toString("base64url");
  check("a token with other claims does not", (await hello([head, forged, signature].join("."))).status === 401);
  const none = Buffer.from('{"alg":"none","typ":"at+jwt"}').toString("base64url");
  check("a token without a signature does not", (await hello([none, claims, ""].join("."))).status === 401);

  const client = new Client({ name: "night-agent", version: "1" });
  const authProvider = new ClientCredentialsProvider({ clientId: "night-agent", clientSecret: secret, scope: "fixture:read", expectedIssuer: issuer });
  await client.connect(new StreamableHTTPClientTransport(new URL(resource), { authProvider }));
  const answer = await client.callTool({ name: "test_simple_text", arguments: {} });
  check("a published client finds the issuer, gets a token and calls a tool", answer.content[0].text.includes("simple text"), answer);
  await client.close();
} finally {
  gateway.kill();
  idp.close();
  idp.closeAllConnections();
}
process.exit(checks.every(Boolean) && checks.length === 7 ? 0 : 1);
