// refmon's conformance fixture, for both eras: the tools, prompts and resources that the official conformance suite
// asks for by name. Over standard streams, or over HTTP with `--http PORT`. It has no clock and no random numbers, so two runs of one script
// can be compared byte for byte.
import "./seen.mjs";
import { McpServer } from "@modelcontextprotocol/server";
import { serveStdio } from "@modelcontextprotocol/server/stdio";
import { addInputTools, verifyState } from "./fixture-input.mjs";
import { addPrompts, addResources } from "./fixture-offers.mjs";
import { serveHttp } from "./fixture-http.mjs";
import { addTools } from "./fixture-tools.mjs";

const capabilities = {
  tools: { listChanged: true },
  resources: { subscribe: true, listChanged: true },
  prompts: { listChanged: true },
  logging: {},
  completions: {},
};

const make = ({ era }) => {
  const server = new McpServer(
    { name: "refmon-fixture", version: "1.0.0" },
    { capabilities, requestState: { verify: verifyState }, cacheHints: { "tools/list": { ttlMs: 60_000, cacheScope: "public" } } },
  );
  addTools(server, era);
  addInputTools(server);
  addPrompts(server);
  addResources(server);
  return server;
};

const http = process.argv.indexOf("--http");
if (http > 0) serveHttp(make, Number(process.argv[http + 1]));
else serveStdio(make);
