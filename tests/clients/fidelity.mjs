// Plays the same scripts to the fixtures with and without refmon between, and compares every message in both
// directions byte for byte. The contract permits everything, so there are two reasons for a difference, and no other: a
// carriage return becomes a space, for a server could take it for the end of a line, and a list of tools is its caller's.
// Arguments: refmon's program, a folder for the runs.
import { mkdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { differences } from "./differences.mjs";
import { play } from "./peer.mjs";
import { permitEverything, prepare } from "./refmon.mjs";
import { answerTo, SCRIPTS } from "./scripts.mjs";

const [refmon, work] = process.argv.slice(2).map((argument) => path.resolve(argument));
const here = import.meta.dirname;
let equal = 0;
let different = 0;

/** What both sides saw when a script was played to a server that notes what it receives in `seen`. */
async function sidesOf(server, seen, steps) {
  const played = await play(server, steps, answerTo);
  // refmon's own requests, by which it learns what the server lists, are no message of the client's.
  const received = readFileSync(seen, "latin1").split("\n").slice(0, -1).filter((line) => !line.includes('"id":"refmon/'));
  return { "to the client": played.lines, "to the server": received, errors: played.errors };
}

/** A message as it should arrive. */
function meant(line) {
  return line.replace(/("cacheScope"\s*:\s*)"public"/, '$1"private"').replaceAll("\r", " ");
}

for (const { fixture, era, steps } of SCRIPTS) {
  const folder = path.join(work, `${fixture}-${era}`);
  const seen = path.join(folder, "seen");
  mkdirSync(folder, { recursive: true });
  const server = { command: process.execPath, args: [path.join(here, `${fixture}.mjs`), "--seen", seen], cwd: folder };
  const direct = await sidesOf(server, seen, steps);
  const through = await sidesOf(prepare(refmon, folder, "fixture", server, permitEverything), seen, steps);
  for (const side of ["to the client", "to the server"]) {
    const { same, pairs } = differences(direct[side].map(meant), through[side]);
    console.log(`  ${fixture.padEnd(11)}  ${era}  ${side}: ${same} messages equal, ${pairs.length} different`);
    for (const [left, right] of pairs) console.log(`    direct:  ${left ?? "(nothing)"}\n    refmon:  ${right ?? "(nothing)"}`);
    if (pairs.length > 0) console.log(through.errors.replaceAll(/^/gm, "    refmon says: "));
    equal += same;
    different += pairs.length;
  }
}
console.log(`fidelity: ${equal} messages equal, ${different} different`);
process.exit(different === 0 && equal > 0 ? 0 : 1);
