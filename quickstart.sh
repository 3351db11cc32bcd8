#!/usr/bin/env bash
# refmon's main job on a fresh machine: builds refmon, puts it in front of the published filesystem server over a
# sample folder, drives that with a published client, and verifies the evidence. Changes nothing outside this
# checkout but missing Debian packages (Node.js).
set -euo pipefail
cd "$(dirname "$0")"
. scripts/setup.sh

need_cargo
need_node
say "building refmon (the first time takes some minutes)"
cargo build --release --locked --quiet -p refmon
say "installing the published MCP server and client"
npm ci --prefix examples/quickstart --no-fund --no-audit --silent

refmon="$PWD/target/release/refmon"
work="$PWD/.work/quickstart"
rm -rf "$work"
mkdir -p "$work/sandbox"
echo "the sample folder's one note" > "$work/sandbox/notes.txt"
cd "$work"

server="../../examples/quickstart/node_modules/@modelcontextprotocol/server-filesystem/dist/index.js"
say "refmon init: what would be permitted, held and denied"
"$refmon" init --yes --name files -- node "$server" "$work/sandbox" 2>/dev/null
say "a client's calls through refmon wrap"
node ../../examples/quickstart/drive.mjs "$refmon" "$work"
say "the evidence: refmon audit tail"
"$refmon" audit tail -n 8
say "the evidence, verified: refmon audit verify"
"$refmon" audit verify

cat <<END

Done. The same for your own server, in the folder where your agent's configuration should be:

  $refmon init -- YOUR-SERVER-COMMAND ARGS…

It shows what it would allow, and ends with the line to put into your client in place of the server's command.
A call that waits: refmon holds list · refmon holds approve ID. What holds on this machine: refmon doctor.
END
