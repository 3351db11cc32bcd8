// Tools that need input of the client and answer `input_required` until they have it (from 2026-07-28 on; towards
// an older client the library asks by itself).
import { createHmac } from "node:crypto";
import { acceptedContent, inputRequired, inputResponse } from "@modelcontextprotocol/server";

// The key is no secret: the state only has to be the same in every run, and a changed one has to be noticed.
const sealOf = (body) => createHmac("sha256", "refmon-fixture").update(body).digest("base64url");

export function seal(state) {
  const body = Buffer.from(JSON.stringify(state)).toString("base64url");
  return `${body}.${sealOf(body)}`;
}

export function verifyState(wire) {
  const [body, mac] = wire.split(".");
  if (mac !== sealOf(body)) throw new Error("the state is not one of this server's");
  return JSON.parse(Buffer.from(body, "base64url").toString());
}

const says = (words) => ({ content: [{ type: "text", text: words }] });
const ask = (message, name, type = "string") =>
  inputRequired.elicit({ message, requestedSchema: { type: "object", properties: { [name]: { type } }, required: [name] } });
const sample = (words) => inputRequired.createMessage({ messages: [{ role: "user", content: { type: "text", text: words } }], maxTokens: 100 });
const given = (ctx, key) => acceptedContent(ctx.mcpReq.inputResponses, key);
const answered = (ctx, key, kind) => {
  const answer = inputResponse(ctx.mcpReq.inputResponses, key);
  return answer.kind === kind ? answer : undefined;
};

// What the client said of itself with this very request.
const capabilitiesOf = (ctx) => ctx.mcpReq.envelope?.["io.modelcontextprotocol/clientCapabilities"] ?? {};

export function addInputTools(server) {
  const tool = (name, answer) => server.registerTool(`test_input_required_result_${name}`, { description: `Needs input: ${name}` }, answer);

  const elicitation = (ctx) => {
    const name = given(ctx, "user_name")?.name;
    return typeof name === "string" ? says(`Hello, ${name}!`) : inputRequired({ inputRequests: { user_name: ask("What is your name?", "name") } });
  };
  tool("elicitation", elicitation);
  tool("validate_input", elicitation);
  // The library answers a client that cannot sample with the error that says so.
  server.registerTool("test_missing_capability", { description: "Needs a client that samples" }, () =>
    inputRequired({ inputRequests: { sample_request: sample("What is the capital of France?") } }),
  );
  server.registerTool("test_streaming_elicitation", { description: "Asks, and sends no request" }, elicitation);
  tool("sampling", (ctx) => {
    const answer = answered(ctx, "sample_request", "sampling");
    if (answer) return says(`Sampling result: ${answer.result.content.text}`);
    return inputRequired({ inputRequests: { sample_request: sample("What is the capital of France?") } });
  });
  tool("list_roots", (ctx) => {
    const answer = answered(ctx, "roots_request", "roots");
    return answer ? says(`Found ${answer.roots.length} root(s)`) : inputRequired({ inputRequests: { roots_request: inputRequired.listRoots() } });
  });
  const confirmed = (kind) => (ctx) => {
    if (ctx.mcpReq.requestState()?.kind === kind && given(ctx, "confirm")?.ok === true) return says("state-ok: requestState validated");
    return inputRequired({ inputRequests: { confirm: ask("Please confirm", "ok", "boolean") }, requestState: seal({ kind }) });
  };
  tool("request_state", confirmed("request-state"));
  tool("tampered_state", confirmed("tampered-state"));
  tool("multiple_inputs", (ctx) => {
    const name = given(ctx, "user_name")?.name;
    const greeting = answered(ctx, "greeting", "sampling")?.result.content.text;
    const roots = answered(ctx, "client_roots", "roots")?.roots;
    if (name && greeting && roots) return says(`Name: ${name}; Greeting: ${greeting}; Roots: ${roots.length}`);
    const inputRequests = { user_name: ask("What is your name?", "name"), greeting: sample("Generate a greeting"), client_roots: inputRequired.listRoots() };
    return inputRequired({ inputRequests, requestState: seal({ kind: "multiple-inputs" }) });
  });
  tool("multi_round", (ctx) => {
    const state = ctx.mcpReq.requestState();
    const color = given(ctx, "step2")?.color;
    if (state?.round === 2 && color) return says(`Multi-round complete for ${state.name} who likes ${color}`);
    const name = given(ctx, "step1")?.name;
    if (state?.round === 1 && name) {
      const inputRequests = { step2: ask("Step 2: What is your favorite color?", "color") };
      return inputRequired({ inputRequests, requestState: seal({ round: 2, name }) });
    }
    return inputRequired({ inputRequests: { step1: ask("Step 1: What is your name?", "name") }, requestState: seal({ round: 1 }) });
  });
  // Asks for what the client said it can do, and for nothing else.
  tool("capabilities", (ctx) => {
    const able = capabilitiesOf(ctx);
    const inputRequests = {};
    if (able.elicitation) inputRequests.user_name = ask("What is your name?", "name");
    if (able.sampling) inputRequests.greeting = sample("Generate a greeting");
    const done = Object.keys(inputRequests).length === 0 || ctx.mcpReq.inputResponses;
    return done ? says("nothing more to ask") : inputRequired({ inputRequests });
  });
  server.registerPrompt("test_input_required_result_prompt", { description: "A prompt that needs input" }, (ctx) => {
    const context = given(ctx, "user_context")?.context;
    if (!context) return inputRequired({ inputRequests: { user_context: ask("What context should the prompt use?", "context") } });
    return { messages: [{ role: "user", content: { type: "text", text: `Prompt with context: ${context}` } }] };
  });
}
