// The servers of the matrix, and what each client asks each of them. All of it only reads.
import { mkdirSync, writeFileSync } from "node:fs";
import path from "node:path";

const here = import.meta.dirname;
const published = (name) => path.join(here, "node_modules", "@modelcontextprotocol", `server-${name}`, "dist", "index.js");
const call = (name, args = {}) => ["tools/call", { name, arguments: args }];

/** Fills the folder with what the servers read. */
export function servers(work) {
  const files = path.join(work, "files");
  const graph = path.join(work, "graph.jsonl");
  mkdirSync(path.join(files, "inner"), { recursive: true });
  writeFileSync(path.join(files, "notes.txt"), "one note: é 😀\n");
  writeFileSync(path.join(files, "inner", "more.txt"), "more\n");
  writeFileSync(graph, '{"type":"entity","name":"Ada","entityType":"person","observations":["counts"]}\n');
  const node = (...args) => ({ command: process.execPath, args });
  return [
    {
      name: "filesystem",
      server: node(published("filesystem"), files),
      asks: [
        call("list_directory", { path: files }),
        call("read_text_file", { path: path.join(files, "notes.txt") }),
        call("directory_tree", { path: files }),
      ],
    },
    {
      name: "memory",
      server: { command: "env", args: [`MEMORY_FILE_PATH=${graph}`, process.execPath, published("memory")] },
      asks: [call("read_graph"), call("search_nodes", { query: "Ada" })],
    },
    {
      name: "everything",
      server: node(published("everything")),
      asks: [
        call("echo", { message: "é 😀" }),
        ["prompts/get", { name: "simple-prompt" }],
        ["resources/read", { uri: "demo://resource/static/document/architecture.md" }],
        ["prompts/list", {}],
        ["resources/list", {}],
        call("get-sum", { a: 1, b: 2 }),
        call("get-structured-content", { location: "Chicago" }),
        call("get-tiny-image"),
      ],
    },
    {
      name: "fixture",
      server: node(path.join(here, "fixture.mjs")),
      asks: [
        call("test_multiple_content_types"),
        ["prompts/get", { name: "test_simple_prompt" }],
        ["resources/read", { uri: "test://static-text" }],
        ["prompts/list", {}],
        ["resources/list", {}],
        call("test_simple_text"),
        call("test_structured_content", { city: "Rome" }),
      ],
    },
  ];
}
