#!/usr/bin/env bash
# All tests, on a fresh machine too: installs what is missing. `--long` runs the campaigns in full (thousands of
# kills, a hundred thousand random programs, ten minutes of fuzzing for each parser).
set -euo pipefail
cd "$(dirname "$0")"
. scripts/setup.sh

case "${1:-}" in
  "") ;;
  --long) export REFMON_LONG=1 ;;
  *) echo "usage: ./test.sh [--long]" >&2; exit 2 ;;
esac

need_cargo
need_node
need_python
need_openssl
need_chromium
need_nextest
# The release profile, so that the quick start's build serves the tests too: Cedar takes minutes to compile.
say "building refmon"
cargo build --release --locked --quiet -p refmon
say "tests in Rust"
cargo nextest run --release --locked --workspace
cargo test --release --locked --workspace --doc --quiet
say "published clients against published servers, through refmon"
tests/clients/run.sh target/release/refmon
say "fuzz targets on their seeds and a sample"
fuzz/run.sh
