// The tools that answer at once, and those that ask the client something on the way (up to 2025-11-25).
import { fromJsonSchema } from "@modelcontextprotocol/server";
import { z } from "zod";

export const IMAGE = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg==";
const AUDIO = "UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAAB9AAACABAAZGF0YQIAAAA=";

const text = (words) => ({ type: "text", text: words });
const says = (words) => ({ content: [text(words)] });
const image = { type: "image", data: IMAGE, mimeType: "image/png" };
const resource = (uri, mimeType, words) => ({ type: "resource", resource: { uri, mimeType, text: words } });

// A JSON Schema that a server library could be tempted to simplify (SEP-1613).
const SCHEMA_2020_12 = {
  $schema: "https://json-schema.org/draft/2020-12/schema",
  type: "object",
  $defs: { address: { $anchor: "addressDef", type: "object", properties: { street: { type: "string" }, city: { type: "string" } } } },
  properties: {
    name: { type: "string" },
    address: { $ref: "#/$defs/address" },
    contactMethod: { type: "string", enum: ["phone", "email"] },
    phone: { type: "string" },
    email: { type: "string" },
  },
  allOf: [{ anyOf: [{ required: ["phone"] }, { required: ["email"] }] }],
  if: { properties: { contactMethod: { const: "phone" } }, required: ["contactMethod"] },
  then: { required: ["phone"] },
  else: { required: ["email"] },
  additionalProperties: false,
};

export function addTools(server, era) {
  const plain = (name, description, answer) => server.registerTool(name, { description }, answer);

  plain("test_simple_text", "Answers with text", () => says("This is a simple text response for testing."));
  plain("test_image_content", "Answers with an image", () => ({ content: [image] }));
  plain("test_audio_content", "Answers with sound", () => ({ content: [{ type: "audio", data: AUDIO, mimeType: "audio/wav" }] }));
  plain("test_embedded_resource", "Answers with a resource", () => ({
    content: [resource("test://embedded-resource", "text/plain", "This is an embedded resource content.")],
  }));
  plain("test_multiple_content_types", "Answers with text, an image and a resource", () => ({
    content: [text("Multiple content types test:"), image, resource("test://mixed-content-resource", "application/json", '{"test":"data","value":123}')],
  }));
  plain("test_error_handling", "Fails", () => {
    throw new Error("This tool intentionally returns an error for testing");
  });
  plain("test_tool_with_logging", "Logs while it works", async (ctx) => {
    for (const words of ["Tool execution started", "Tool processing data", "Tool execution completed"]) await ctx.mcpReq.log("info", words);
    return says("Tool with logging executed successfully");
  });
  plain("test_logging_tool", "Logs to a client that wants it", async (ctx) => {
    await ctx.mcpReq.log("info", "a line");
    return says("logged");
  });
  plain("test_tool_with_progress", "Reports progress while it works", async (ctx) => {
    const progressToken = ctx.mcpReq._meta?.progressToken;
    for (const progress of progressToken === undefined ? [] : [0, 50, 100]) {
      const message = `Completed step ${progress} of 100`;
      await ctx.mcpReq.notify({ method: "notifications/progress", params: { progressToken, progress, total: 100, message } });
    }
    return says(String(progressToken));
  });
  // Only means something over HTTP, where the stream can be cut; here it is a call like any other.
  plain("test_reconnection", "Answers after a reconnection", () => says("Reconnection test completed successfully."));
  plain("test_list_changes", "Says that every list has changed", async () => {
    server.sendToolListChanged();
    server.sendPromptListChanged();
    server.sendResourceListChanged();
    return says("changed");
  });
  server.registerTool(
    "json_schema_2020_12_tool",
    { description: "Keeps its schema", inputSchema: fromJsonSchema(SCHEMA_2020_12) },
    (args) => says(JSON.stringify(args)),
  );
  server.registerTool(
    "test_structured_content",
    {
      title: "Structured",
      description: "Answers with structured content",
      annotations: { readOnlyHint: true, openWorldHint: false },
      inputSchema: z.object({ city: z.string() }),
      outputSchema: z.object({ city: z.string(), degrees: z.number() }),
    },
    ({ city }) => ({ content: [text(`${city}: 21.5`)], structuredContent: { city, degrees: 21.5 } }),
  );
  if (era === "legacy") addAskingTools(server);
}

/** Tools that send requests to the client, which servers no longer do from 2026-07-28 on. */
function addAskingTools(server) {
  server.registerTool(
    "test_sampling",
    { description: "Asks the client's model", inputSchema: z.object({ prompt: z.string() }) },
    async ({ prompt }, ctx) => {
      const answer = await ctx.mcpReq.requestSampling({ messages: [{ role: "user", content: text(prompt) }], maxTokens: 100 });
      return says(`LLM response: ${answer.content.text}`);
    },
  );
  const elicits = async (ctx, message, properties, required) => {
    const answer = await ctx.mcpReq.elicitInput({ mode: "form", message, requestedSchema: { type: "object", properties, required } });
    return says(`User response: action=${answer.action}, content=${JSON.stringify(answer.content ?? {})}`);
  };
  server.registerTool(
    "test_elicitation",
    { description: "Asks the user", inputSchema: z.object({ message: z.string() }) },
    ({ message }, ctx) => elicits(ctx, message, { response: { type: "string", description: "User's response" } }, ["response"]),
  );
  server.registerTool("test_elicitation_sep1034_defaults", { description: "Asks the user, with defaults" }, (ctx) =>
    elicits(ctx, "Please review and update the form fields with defaults", {
      name: { type: "string", default: "John Doe" },
      age: { type: "integer", default: 30 },
      score: { type: "number", default: 95.5 },
      status: { type: "string", enum: ["active", "inactive", "pending"], default: "active" },
      verified: { type: "boolean", default: true },
    }, []),
  );
  const plainValues = ["option1", "option2", "option3"];
  const titled = plainValues.map((value, at) => ({ const: value, title: `Option ${at + 1}` }));
  server.registerTool("test_elicitation_sep1330_enums", { description: "Asks the user to choose" }, (ctx) =>
    elicits(ctx, "Please select options", {
      untitledSingle: { type: "string", enum: plainValues },
      titledSingle: { type: "string", oneOf: titled },
      legacyEnum: { type: "string", enum: plainValues, enumNames: titled.map(({ title }) => title) },
      untitledMulti: { type: "array", items: { type: "string", enum: plainValues } },
      titledMulti: { type: "array", items: { anyOf: titled } },
    }, []),
  );
  server.registerTool("test_list_roots", { description: "Asks for the client's folders" }, async (ctx) => {
    const { roots } = await ctx.mcpReq.send({ method: "roots/list" });
    return says(`Found ${roots.length} root(s)`);
  });
}
