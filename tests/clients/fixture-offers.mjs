// The fixture's prompts and resources, with completion and subscription.
import { completable, ResourceNotFoundError, ResourceTemplate } from "@modelcontextprotocol/server";
import { z } from "zod";
import { IMAGE } from "./fixture-tools.mjs";

const user = (content) => ({ role: "user", content });
const text = (words) => ({ type: "text", text: words });
const starting = (values) => (typed) => values.filter((value) => value.startsWith(typed));

export function addPrompts(server) {
  server.registerPrompt("test_simple_prompt", { description: "A prompt without arguments" }, () => ({
    messages: [user(text("This is a simple prompt for testing."))],
  }));
  server.registerPrompt(
    "test_prompt_with_arguments",
    {
      description: "A prompt with arguments",
      argsSchema: z.object({ arg1: completable(z.string(), starting(["paris", "park", "party"])), arg2: z.string() }),
    },
    ({ arg1, arg2 }) => ({ messages: [user(text(`Prompt with arguments: arg1='${arg1}', arg2='${arg2}'`))] }),
  );
  server.registerPrompt(
    "test_prompt_with_embedded_resource",
    { description: "A prompt with a resource", argsSchema: z.object({ resourceUri: z.string() }) },
    ({ resourceUri: uri }) => ({
      messages: [
        user({ type: "resource", resource: { uri, mimeType: "text/plain", text: "Embedded resource content for testing." } }),
        user(text("Please process the embedded resource above.")),
      ],
    }),
  );
  server.registerPrompt("test_prompt_with_image", { description: "A prompt with an image" }, () => ({
    messages: [user({ type: "image", data: IMAGE, mimeType: "image/png" }), user(text("Please analyze the image above."))],
  }));
}

export function addResources(server) {
  const offer = (name, uri, mimeType, contents) =>
    server.registerResource(name, uri, { mimeType }, () => ({ contents: [{ uri, mimeType, ...contents }] }));
  offer("static-text", "test://static-text", "text/plain", { text: "This is the content of the static text resource." });
  offer("static-binary", "test://static-binary", "image/png", { blob: IMAGE });
  offer("watched-resource", "test://watched-resource", "text/plain", { text: "Watched resource content" });

  const template = new ResourceTemplate("test://template/{id}/data", { list: undefined, complete: { id: starting(["1", "12", "123"]) } });
  server.registerResource("template", template, { mimeType: "application/json" }, ({ href: uri }, { id }) => {
    if (id === "missing") throw new ResourceNotFoundError(uri);
    return { contents: [{ uri, mimeType: "application/json", text: JSON.stringify({ id, templateTest: true, data: `Data for ID: ${id}` }) }] };
  });

  // A subscription is answered with one change at once, so that a script sees it without waiting.
  server.server.setRequestHandler("resources/subscribe", async ({ params: { uri } }) => {
    await server.server.sendResourceUpdated({ uri });
    return {};
  });
  server.server.setRequestHandler("resources/unsubscribe", ({ params: { uri } }) => {
    return {};
  });
}
