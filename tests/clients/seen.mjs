// What a fixture received, line by line, for comparing the way to the server as well: `--seen FILE` in its arguments.
import { openSync, writeSync } from "node:fs";

const at = process.argv.indexOf("--seen");
if (at > 0) {
  const file = openSync(process.argv[at + 1], "w");
  process.stdin.on("data", (bytes) => writeSync(file, bytes));
}
