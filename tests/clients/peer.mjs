// A client that speaks in raw lines: plays a script to a server and keeps every byte that comes back.
import { spawn } from "node:child_process";

const ANSWER_WAIT_MS = 5_000;
const EXIT_WAIT_MS = 5_000;

/** Plays the steps, each until what it waits for has arrived; the answer is every line of the server, in order. */
export async function play(server, steps, answerTo) {
  const child = spawn(server.command, server.args, { cwd: server.cwd, stdio: ["pipe", "pipe", "pipe"] });
  const ended = new Promise((resolve) => child.on("close", resolve));
  const heard = { lines: [], errors: "", arrived: () => {} };
  child.stderr.on("data", (bytes) => (heard.errors += bytes));
  listen(child, heard, answerTo);
  try {
    for (const { send, until } of steps) {
      const before = heard.lines.length;
      child.stdin.write(`${send}\n`);
      const complete = () => !until || heard.lines.slice(before).some(until);
      if (!(await waited(heard, complete))) throw new Error(`no answer within ${ANSWER_WAIT_MS} ms to ${send}\n${heard.errors}`);
    }
  } finally {
    child.stdin.end();
    const timer = setTimeout(() => child.kill("SIGKILL"), EXIT_WAIT_MS);
    await ended;
    clearTimeout(timer);
  }
  return heard;
}

/** Keeps each line of the server, and answers its requests. */
function listen(child, heard, answerTo) {
  let pending = Buffer.alloc(0);
  child.stdout.on("data", (bytes) => {
    pending = Buffer.concat([pending, bytes]);
    for (let end = pending.indexOf(10); end >= 0; end = pending.indexOf(10)) {
      // Latin 1 keeps every byte as it is.
      const line = pending.subarray(0, end).toString("latin1");
      pending = pending.subarray(end + 1);
      heard.lines.push(line);
      const { method, id, params } = read(line);
      if (method !== undefined && id !== undefined) child.stdin.write(`${answerTo(method, id, params)}\n`);
      heard.arrived();
    }
  });
}

async function waited(heard, complete) {
  const deadline = Date.now() + ANSWER_WAIT_MS;
  while (!complete() && Date.now() < deadline) {
    await new Promise((resolve) => {
      const timer = setTimeout(resolve, deadline - Date.now());
      heard.arrived = () => (clearTimeout(timer), resolve());
    });
  }
  return complete();
}

function read(line) {
  try {
    return JSON.parse(line);
  } catch {
    return {};
  }
}
