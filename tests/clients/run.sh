#!/usr/bin/env bash
# Byte fidelity on the fixtures, published clients against published servers with and without refmon between, and the
# official conformance suites through `refmon serve`, on both of its sides.
# Argument: refmon's program. Writes docs/compatibility.md. Everything else it makes is in .work.
set -euo pipefail
refmon="$(realpath "${1:?usage: tests/clients/run.sh REFMON_BINARY}")"
cd "$(dirname "$0")/../.."
. scripts/setup.sh

need_node
need_python
need_chromium
say "installing the published clients and servers"
npm ci --prefix tests/clients --no-fund --no-audit --silent
venv=.work/clients-venv
[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
"$venv/bin/pip" install --quiet --disable-pip-version-check -r tests/clients/requirements.txt

passed=0
failed=0
run() {
  say "$1"
  shift
  if "$@"; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
}
run "fidelity: every message, byte for byte" \
  node tests/clients/fidelity.mjs "$refmon" .work/clients/fidelity
run "matrix: clients and servers" \
  node tests/clients/matrix.mjs "$refmon" .work/clients/matrix "$venv/bin/python" docs/compatibility.md
run "conformance: the official suites through refmon serve" \
  node tests/clients/conformance.mjs "$refmon" .work/clients/conformance
run "conformance: the suite's servers through refmon serve" \
  node tests/clients/conformance-client.mjs "$refmon" .work/clients/conformance-client docs/compatibility.md
run "matrix over HTTP: every client, four servers at once" \
  node tests/clients/matrix-http.mjs "$refmon" .work/clients/matrix-http "$venv/bin/python"
run "held calls: every client waits until a person has approved" \
  env WAIT_SECONDS="${REFMON_LONG:+590}" node tests/clients/holds.mjs "$refmon" .work/clients/holds "$venv/bin/python" crates/cli/tests/servers/era_server.py
run "identity: a certified OpenID provider, a published client that logs in" \
  node tests/clients/identity.mjs "$refmon" .work/clients/identity
run "console: people decide in a real browser" \
  node tests/clients/console.mjs "$refmon" .work/clients/console

printf '\n%s passed, %s failed\n' "$passed" "$failed"
[ "$failed" = 0 ]
