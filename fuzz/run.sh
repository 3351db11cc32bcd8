#!/usr/bin/env bash
# Runs the fuzz targets on their seeds and on new inputs: five seconds each; with REFMON_LONG=1 ten minutes each, and
# those over contracts and policies too, which take minutes to build (FUZZ_SECONDS overrides the time). New inputs are kept in fuzz/corpus, failures in fuzz/artifacts.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/setup.sh
need_cargo
need_fuzz
mkdir -p .work

seconds=${FUZZ_SECONDS:-5}
targets="json_gate message kinds record segment events token decisions"
features=()
if [ -n "${REFMON_LONG:-}" ]; then
  seconds=${FUZZ_SECONDS:-600}
  targets="$targets contract policy_text"
  features=(--features policy)
fi
# Coverage needs unstable compiler flags; no sanitizer is used, for there is no unsafe code to watch.
export RUSTC_BOOTSTRAP=1
cargo-fuzz build --sanitizer none "${features[@]}" > /dev/null 2> .work/fuzz-build.log \
  || { tail -50 .work/fuzz-build.log; exit 1; }
for target in $targets; do
  mkdir -p "fuzz/corpus/$target"
  say "fuzzing $target for $seconds s"
  cargo-fuzz run "$target" --sanitizer none "${features[@]}" "fuzz/corpus/$target" "fuzz/seeds/$target" -- \
    -max_total_time="$seconds" -max_len=8192 -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 2> ".work/fuzz-$target.log" \
    || { tail -40 ".work/fuzz-$target.log"; exit 1; }
  grep -E 'stat::(number_of_executed_units|new_units_added)' ".work/fuzz-$target.log" || true
done
