// The fixture's HTTP door: sessions for clients up to 2025-11-25, a fresh server for each later request.
import { randomUUID } from "node:crypto";
import { createServer } from "node:http";
import { Readable } from "node:stream";
import { createMcpHandler, isLegacyRequest, WebStandardStreamableHTTPServerTransport } from "@modelcontextprotocol/server";

const LOCAL = /^(localhost|127\.0\.0\.1|\[::1\])(:\d+)?$/;
const sessions = new Map();

async function legacy(request, make) {
  const known = sessions.get(request.headers.get("mcp-session-id"));
  if (known) return known.handleRequest(request);
  if (request.headers.has("mcp-session-id")) return new Response("no such session", { status: 404 });
  const transport = new WebStandardStreamableHTTPServerTransport({
    sessionIdGenerator: randomUUID,
    onsessioninitialized: (id) => sessions.set(id, transport),
    onsessionclosed: (id) => sessions.delete(id),
  });
  await make({ era: "legacy" }).connect(transport);
  return transport.handleRequest(request);
}

function toRequest(incoming) {
  const gone = new AbortController();
  incoming.socket.once("close", () => gone.abort());
  const body = ["GET", "HEAD"].includes(incoming.method) ? undefined : Readable.toWeb(incoming);
  const init = { method: incoming.method, headers: new Headers(incoming.headers), body, duplex: "half", signal: gone.signal };
  return new Request(`http://${incoming.headers.host}${incoming.url}`, init);
}

async function reply(outgoing, response) {
  outgoing.writeHead(response.status, Object.fromEntries(response.headers));
  outgoing.flushHeaders();
  if (!response.body) return outgoing.end();
  const reader = response.body.getReader();
  outgoing.once("close", () => reader.cancel().catch(() => {}));
  for (let part = await reader.read(); !part.done; part = await reader.read()) outgoing.write(part.value);
  outgoing.end();
}

export function serveHttp(make, port) {
  const modern = createMcpHandler(make, { legacy: "reject" });
  const server = createServer(async (incoming, outgoing) => {
    try {
      const { host, origin } = incoming.headers;
      if (!LOCAL.test(host ?? "") || (origin && !LOCAL.test(origin.replace(/^https?:\/\//, "")))) {
        return reply(outgoing, new Response("not here", { status: 403 }));
      }
      const request = toRequest(incoming);
      await reply(outgoing, (await isLegacyRequest(request)) ? await legacy(request, make) : await modern.fetch(request));
    } catch (error) {
      if (!outgoing.headersSent) outgoing.writeHead(500);
      outgoing.end();
    }
  });
  server.listen(port, "127.0.0.1", () => console.error(`fixture at http://127.0.0.1:${server.address().port}/mcp`));
}
