# shellcheck shell=bash
# What the scripts of this directory share: a scratch directory, processes known by their ids,
# waiting for events, and one tunnel "inlet -> relay -> node with an outlet" on loopback.
#
# Environment:
#   SEALWAY           the command under test (default: a debug build of this tree)
#   SEALWAY_TEST_LOG  keep the logs of a run in this directory
# A script prints one line, "PASS name: figures" or "FAIL name: reason", and exits 0 or 1.
set -Eeuo pipefail

TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
TEST=$(basename "$0" .sh)
# Short, since socket paths are; searchable by the unprivileged users that PostgreSQL and nginx run as.
W=$(mktemp -d "${TMPDIR:-/tmp}/swreal.XXXXXX")
chmod 711 "$W"
PIDS=()
VERDICT=
BEGAN=$(date +%s%N)

# Nothing of the user's own configuration takes part.
export HOME="$W/user" XDG_RUNTIME_DIR="$W/run" NO_COLOR=1 LC_ALL=C
unset SEALWAY_HOME PGHOST PGPORT PGUSER PGDATABASE PGPASSWORD PGSERVICE http_proxy HTTP_PROXY ALL_PROXY all_proxy
mkdir -m 700 "$HOME" "$XDG_RUNTIME_DIR"

seconds_since() { awk -v a="$1" -v b="$(date +%s%N)" 'BEGIN { printf "%.2f", (b - a) / 1e9 }'; }

# Ends what was started, youngest first: politely, then with SIGKILL.
cleanup() {
  local status=$? pid i
  trap - EXIT ERR
  for ((i = ${#PIDS[@]} - 1; i >= 0; i--)); do kill "${PIDS[i]}" 2>/dev/null || true; done
  for pid in "${PIDS[@]}"; do
    for ((i = 0; i < 250; i++)); do
      kill -0 "$pid" 2>/dev/null || break
      sleep 0.02
    done
    kill -9 "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
  done
  if [ "$VERDICT" != pass ]; then
    [ -n "$VERDICT" ] || echo "FAIL $TEST: ended with status $status"
    for i in "$W"/*.err; do
      [ -s "$i" ] && { echo "--- $(basename "$i")"; tail -n 15 "$i"; } >&2
    done
    [ "$status" -ne 0 ] || status=1
  fi
  if [ -n "${SEALWAY_TEST_LOG:-}" ]; then
    mkdir -p "$SEALWAY_TEST_LOG/$TEST"
    cp "$W"/*.out "$W"/*.err "$SEALWAY_TEST_LOG/$TEST/" 2>/dev/null || true
  fi
  rm -rf "$W"
  exit "$status"
}
trap cleanup EXIT
trap 'VERDICT=fail; echo "FAIL $TEST: line $LINENO: $BASH_COMMAND"' ERR
trap 'exit 130' INT TERM

pass() { VERDICT=pass; echo "PASS $TEST: $* ($(seconds_since "$BEGAN") s)"; exit 0; }
fail() { VERDICT=fail; trap - ERR; echo "FAIL $TEST: $*"; exit 1; }

# need PROGRAM=PACKAGE...: installs what is missing as root, else names it and fails.
need() {
  PATH=$PATH:/usr/sbin:/sbin
  "$TOP/tests/real/install" "$@" || fail "programs are missing"
}

# start NAME COMMAND...: in the background, output in $W/NAME.out and $W/NAME.err; its id in $PID.
start() {
  local name=$1
  shift
  "$@" >"$W/$name.out" 2>"$W/$name.err" </dev/null &
  PID=$!
  PIDS+=("$PID")
}

# wait_event PID FILE PATTERN [SECONDS]: until FILE has a line that matches; fails when PID ends first.
wait_event() {
  local pid=$1 file=$2 pattern=$3 end=$((SECONDS + ${4:-20}))
  until grep -qE "$pattern" "$file" 2>/dev/null; do
    kill -0 "$pid" 2>/dev/null || fail "$(basename "$file" .out) ended before it said $pattern"
    [ "$SECONDS" -lt "$end" ] || fail "$(basename "$file" .out) did not say $pattern in ${4:-20} s"
    sleep 0.02
  done
}

# wait_port PID PORT [SECONDS]: until something accepts connections there (for programs that tell nobody).
wait_port() {
  local pid=$1 port=$2 end=$((SECONDS + ${3:-20}))
  until (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do
    kill -0 "$pid" 2>/dev/null || fail "the server for port $port ended"
    [ "$SECONDS" -lt "$end" ] || fail "nothing listens on port $port after ${3:-20} s"
    sleep 0.02
  done
}

# free_port: a port outside the kernel's ephemeral range that nobody listens on.
free_port() {
  local port
  while :; do
    port=$((15000 + RANDOM % 14000))
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo "$port"; return; }
  done
}

# address_of FILE EVENT: the "address" of the first such event line.
address_of() {
  grep -m1 -E "\"event\": ?\"$2\"" "$1" | sed -nE 's/.*"address": ?"([^"]+)".*/\1/p'
}

# binary: sets SEALWAY to the command under test.
binary() {
  if [ -z "${SEALWAY:-}" ]; then
    # The scratch HOME must not hide the toolchain's.
    HOME=$(getent passwd "$(id -u)" | cut -d: -f6) \
      cargo build --quiet --locked --manifest-path "$TOP/Cargo.toml" -p sealway-cli
    SEALWAY=${CARGO_TARGET_DIR:-$TOP/target}/debug/sealway
  fi
  [ -x "$SEALWAY" ] || fail "no command at $SEALWAY"
}

# identity HOME_NAME: makes a home with an identity and prints its identifier.
identity() {
  "$SEALWAY" --home "$W/$1" identity create 2>>"$W/identity.err" --json | grep -oE 'I[0-9a-f]{64}' | head -n 1
}

# tunnel NAME HOST:PORT: relay, node with that outlet behind it, and inlet, each a process with a home of
# its own. Sets ENTRY (the inlet's port), RELAY_PID, NODE_PID, INLET_PID.
tunnel() {
  local name=$1 target=$2 node_id inlet_id relay port
  binary
  node_id=$(identity node)
  inlet_id=$(identity inlet)
  [ -n "$node_id" ] && [ -n "$inlet_id" ] || fail "identity create printed no identifier"
  start relay "$SEALWAY" --home "$W/relay" relay --listen 127.0.0.1:0 --json
  RELAY_PID=$PID
  wait_event "$PID" "$W/relay.out" '"event": ?"listening"'
  relay=$(address_of "$W/relay.out" listening)
  port=${relay##*:}
  start node "$SEALWAY" --home "$W/node" node --via "127.0.0.1:$port" --alias "$name" \
    --outlet "$name=$target" --trust "$inlet_id" --json
  NODE_PID=$PID
  wait_event "$PID" "$W/node.out" '"event": ?"ready"'
  start inlet "$SEALWAY" --home "$W/inlet" inlet --listen 127.0.0.1:0 \
    --to "/ip4/127.0.0.1/tcp/$port/service/forward_to_$name/secure/sealway_xx1/service/$name" --expect "$node_id" --json
  INLET_PID=$PID
  wait_event "$PID" "$W/inlet.out" '"event": ?"ready"'
  ENTRY=$(address_of "$W/inlet.out" ready)
  ENTRY=${ENTRY##*:}
  [ -n "$ENTRY" ] || fail "the inlet named no address"
}

# exposed NAME HOST:PORT [ARGUMENTS OF expose]: a ticket for that service from one home, a port for the ticket in another. Sets ENTRY.
exposed() {
  local name=$1 target=$2 ticket
  shift 2
  start "expose-$name" "$SEALWAY" --home "$W/exposer" expose "$target" "$@" --json
  wait_event "$PID" "$W/expose-$name.out" '"event": ?"ticket"'
  ticket=$(sed -nE 's/.*"ticket": ?"(sealway1[^"]+)".*/\1/p' "$W/expose-$name.out" | head -n 1)
  # Where it does not show in the list of processes.
  (umask 077 && printf '%s' "$ticket" >"$W/$name.ticket")
  start "connect-$name" "$SEALWAY" --home "$W/connector" connect "@$W/$name.ticket" --listen 127.0.0.1:0 --json
  wait_event "$PID" "$W/connect-$name.out" '"event": ?"ready"'
  ENTRY=$(address_of "$W/connect-$name.out" ready)
  ENTRY=${ENTRY##*:}
}

# rate BYTES NANOSECONDS_AT_START: MB/s so far.
rate() { awk -v n="$1" -v a="$2" -v b="$(date +%s%N)" 'BEGIN { printf "%.0f MB/s", n / (b - a) * 1e3 }'; }

sum() { sha256sum <"$1" | cut -d' ' -f1; }
