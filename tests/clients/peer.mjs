// A client that speaks in raw lines: plays a script to a server and keeps every byte that comes back.
import { spawn } from "node:child_process";

const ANSWER_WAIT_MS = 5_000;
const EXIT_WAIT_MS = 5_000;

/** Plays the steps, each until what it waits for has arrived; the answer is every line of the server, in order. */
export async function play(server, steps, answerTo) {
  const child = spawn(server.command, server.args, { cwd: server.cwd, stdio: ["pipe", "pipe", "pipe"] });
  let errors = "";
  child.stderr.on("data", (bytes) => (errors += bytes));
  const ended = new Promise((resolve) => child.on("close", resolve));
  let pending = Buffer.alloc(0);
  const lines = [];
  let arrived = () => {};
  child.stdout.on("data", (bytes) => {
    pending = Buffer.concat([pending, bytes]);
    for (let end = pending.indexOf(10); end >= 0; end = pending.indexOf(10)) {
      // Latin 1 keeps every byte as it is.
      const line = pending.subarray(0, end).toString("latin1");
      pending = pending.subarray(end + 1);
      lines.push(line);
      const { method, id, params } = read(line);
      if (method !== undefined && id !== undefined) child.stdin.write(`${answerTo(method, id, params)}\n`);
      arrived();
    }
  });
  for (const { send, until } of steps) {
    const before = lines.length;
    child.stdin.write(`${send}\n`);
    const complete = () => !until || lines.slice(before).some(until);
    const deadline = Date.now() + ANSWER_WAIT_MS;
    while (!complete() && Date.now() < deadline) {
      await new Promise((resolve) => {
        const timer = setTimeout(resolve, deadline - Date.now());
        arrived = () => (clearTimeout(timer), resolve());
      });
    }
    if (!complete()) lines.push(`(no answer within ${ANSWER_WAIT_MS} ms to ${send})`);
  }
  child.stdin.end();
  const timer = setTimeout(() => child.kill("SIGKILL"), EXIT_WAIT_MS);
  await ended;
  clearTimeout(timer);
  return { lines, errors };
}

function read(line) {
  try {
    return JSON.parse(line);
  } catch {
    return {};
  }
}
