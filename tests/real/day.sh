#!/usr/bin/env bash
# A day of work through `expose` and `connect`, side by side: pgbench with 8 clients, 1 GiB each way, short requests, idle
# connections, a WebSocket and an SSH session that go on for the whole time.
#
#   tests/real/day.sh [direct|relay]     without, or through, a relay (default: direct)
#
# REAL_SOAK_S: how long (default 600). REAL_DAY_MIB: the transfers (default 1024). REAL_DAY_REQUESTS (default 5000).
. "$(dirname "$0")/lib.sh"
. "$TOP/tests/real/servers.sh"
form=${1:-direct}
TEST="day, $form"
need python3=python3-minimal
soak=${REAL_SOAK_S:-600}
binary

postgres_server
sshd_server
start day python3 "$TOP/tests/real/day.py" serve
wait_event "$PID" "$W/day.out" '"http"'
field() { sed -nE "s/.*\"$1\": ?([0-9]+).*/\1/p" "$W/day.out"; }

via=()
case $form in
  direct) ;;
  relay)
    start relay "$SEALWAY" --home "$W/relay" relay --listen 127.0.0.1:0 --json
    wait_event "$PID" "$W/relay.out" '"event": ?"listening"'
    via=(--via "$(address_of "$W/relay.out" listening)")
    ;;
  *) fail "no form '$form': direct or relay" ;;
esac

began=$(date +%s%N)
exposed http "127.0.0.1:$(field http)" "${via[@]}"; http=$ENTRY
first=$(seconds_since "$began")
exposed bytes "127.0.0.1:$(field bytes)" "${via[@]}"; bytes=$ENTRY
exposed pg "127.0.0.1:$PG_PORT" "${via[@]}"; pg=$ENTRY
exposed ssh "127.0.0.1:$SSH_PORT" "${via[@]}"; ssh=$ENTRY

# The SSH session says a line each second; the last one only when all others have come.
ssh_options "$ssh"
ssh "${SSH_OPTIONS[@]}" -p "$ssh" "$(id -un)@127.0.0.1" \
  "i=0; while [ \$i -lt $soak ]; do echo \$i; i=\$((i + 1)); sleep 1; done; echo end" >"$W/session.out" 2>"$W/session.err" &
session=$!
PIDS+=("$session")

python3 "$TOP/tests/real/day.py" work --http "$http" --bytes "$bytes" --soak-s "$soak" --mib "${REAL_DAY_MIB:-1024}" \
  --requests "${REAL_DAY_REQUESTS:-5000}" >"$W/work.out" 2>"$W/work.err" &
work=$!
PIDS+=("$work")

pgbench_through "$pg"
wait "$work" || fail "$(tail -n 1 "$W/work.err")"
wait "$session" || fail "the SSH session ended with an error"
[ "$(tail -n 1 "$W/session.out")" = end ] && [ "$(wc -l <"$W/session.out")" -eq $((soak + 1)) ] ||
  fail "the SSH session lost lines"

pass "first port ready after $first s; $PGBENCH; $(cat "$W/work.out"), SSH session $soak s"
