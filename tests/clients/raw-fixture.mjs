// A server that answers with fixed text, for what no library writes: members that nobody knows, numbers and strings
// in odd spellings, odd white space, pages of tools, tasks, and every request and notification a server may send.
import "./seen.mjs";
import { createInterface } from "node:readline";
import { CALLS, METHODS } from "./raw-answers.mjs";

const IDENTIFIER = /"id"\s*:\s*("(?:[^"\\]|\\.)*"|-?\d+)/;
let waiting = { answers: 0, then: [] };

const write = (lines, id) => lines.forEach((line) => process.stdout.write(`${line.replaceAll("$ID", id)}\n`));

/** Writes the lines; those after a request of the server's own only when the client has answered all of them. */
function answer(lines, id) {
  const last = lines.findLastIndex((line) => line.includes('"id":"asks'));
  write(lines.slice(0, last + 1), id);
  const rest = lines.slice(last + 1).map((line) => line.replaceAll("$ID", id));
  const answers = lines.filter((line) => line.includes('"id":"asks')).length;
  if (answers > 0) waiting = { answers, then: rest };
  else write(rest, id);
}

createInterface({ input: process.stdin }).on("line", (line) => {
  const { method, params } = JSON.parse(line);
  const id = IDENTIFIER.exec(line)?.[1];
  if (method === undefined) {
    waiting.answers -= 1;
    if (waiting.answers === 0) write(waiting.then, id);
  } else if (method === "tools/call") {
    answer(CALLS[params.name], id);
  } else if (id !== undefined) {
    const key = params?.cursor ? `${method} ${params.cursor}` : method;
    write(METHODS[key] ?? ['{"jsonrpc":"2.0","id":$ID,"error":{"code":-32601,"message":"Method not found","data":{"n":1.0}}}'], id);
  }
});
