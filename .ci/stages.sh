# shellcheck shell=bash
# Runs stages one after another, prints what each took, and sums the tests they ran.
# A script sources this, calls `stage` for each, and ends with `finish`.
set -uo pipefail

TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$TOP" || exit 1
PATH=$PATH:${CARGO_HOME:-$HOME/.cargo}/bin
export CARGO_TERM_COLOR=never CARGO_TERM_PROGRESS_WHEN=never CARGO_INCREMENTAL=${CARGO_INCREMENTAL:-0}
TARGET=${CARGO_TARGET_DIR:-$TOP/target}
export CARGO_TARGET_DIR=$TARGET
LOG=$(mktemp -d "${TMPDIR:-/tmp}/swstages.XXXXXX")
trap 'left_behind; rm -rf "$LOG"' EXIT

PASSED=0 FAILED=0
TABLE=()
STARTED=$SECONDS

# stage NAME KIND COMMAND...: KIND says how the command's output counts its tests:
#   cargo    the sums of its "test result:" lines
#   summary  its last line, "N passed, N failed"
#   one      it is one test itself
# A command that fails without a failed test counts as one failed.
stage() {
  local name=$1 kind=$2 began=$SECONDS status=0 passed=0 failed=0
  shift 2
  echo "==> $name"
  "$@" </dev/null 2>&1 | tee "$LOG/out" || status=1
  case $kind in
    cargo)
      passed=$(grep -aE '^test result:' "$LOG/out" | sed -E 's/.* ([0-9]+) passed; .*/\1/' | awk '{ n += $1 } END { print n + 0 }')
      failed=$(grep -aE '^test result:' "$LOG/out" | sed -E 's/.* ([0-9]+) failed; .*/\1/' | awk '{ n += $1 } END { print n + 0 }')
      ;;
    summary)
      local line
      line=$(tail -n 1 "$LOG/out")
      if [[ $line =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed$ ]]; then
        passed=${BASH_REMATCH[1]} failed=${BASH_REMATCH[2]}
      else
        echo "$name: its last line is no summary" && status=1
      fi
      ;;
    one) [ "$status" -ne 0 ] || passed=1 ;;
  esac
  if [ "$status" -ne 0 ] && [ "$failed" -eq 0 ]; then failed=1; fi
  if [ "$passed" -eq 0 ] && [ "$failed" -eq 0 ]; then echo "$name: ran nothing" && failed=1; fi
  PASSED=$((PASSED + passed)) FAILED=$((FAILED + failed))
  TABLE+=("$(printf '%-28s %6d passed %4d failed %6d s' "$name" "$passed" "$failed" $((SECONDS - began)))")
}

# beside NAME COMMAND...: starts a script of tests/real; a later stage waits for it by `joined NAME`, which prints what it said
# and ends as its verdict says.
declare -A BESIDE=()
beside() {
  local name=$1
  shift
  "$@" </dev/null >"$LOG/beside-$name" 2>&1 &
  BESIDE[$name]=$!
}
joined() {
  # A stage is no parent of what runs beside it, so `wait` does not serve.
  tail --pid="${BESIDE[$1]}" -f /dev/null
  cat "$LOG/beside-$1"
  grep -q '^PASS ' "$LOG/beside-$1"
}
left_behind() {
  local pid
  for pid in "${BESIDE[@]}"; do kill "$pid" 2>/dev/null && wait "$pid" 2>/dev/null; done
}

# finish: the table, the sum alone on the last line, the exit status.
finish() {
  echo
  printf '%s\n' "${TABLE[@]}"
  printf '%-28s %32s %6d s\n' total '' $((SECONDS - STARTED))
  echo "$PASSED passed, $FAILED failed"
  [ "$FAILED" -eq 0 ]
  exit
}
