#!/usr/bin/env bash
# Redis through inlet, relay and outlet: redis-benchmark, and a megabyte set through the tunnel equals what the server holds.
. "$(dirname "$0")/lib.sh"
need redis-server=redis-server redis-benchmark=redis-tools redis-cli=redis-tools

mkdir -m 700 "$W/redis"
port=$(free_port)
start redis redis-server --port "$port" --bind 127.0.0.1 --dir "$W/redis" --save "" --appendonly no --daemonize no
wait_port "$PID" "$port"
tunnel redis "127.0.0.1:$port"

requests=${REAL_REDIS_REQUESTS:-20000}
redis-benchmark -h 127.0.0.1 -p "$ENTRY" -n "$requests" -c 16 -t set,get,lpush,lrange_100 --csv >"$W/benchmark.out" 2>"$W/benchmark.err"
redis-benchmark -h 127.0.0.1 -p "$ENTRY" -n "$((requests * 5))" -c 16 -P 16 -t get --csv >"$W/pipelined.out" 2>"$W/pipelined.err"
figure() { awk -F, -v t="\"$2\"" '$1 ~ t { gsub(/"/, "", $2); printf "%.0f", $2; exit }' "$1"; }
set_rate=$(figure "$W/benchmark.out" SET)
get_rate=$(figure "$W/benchmark.out" GET)
range_rate=$(figure "$W/benchmark.out" 'LRANGE_100.*')
pipelined=$(figure "$W/pipelined.out" GET)
[ -n "$set_rate" ] && [ -n "$get_rate" ] && [ -n "$range_rate" ] && [ -n "$pipelined" ] || fail "redis-benchmark printed no figures"

head -c 1048576 /dev/urandom | base64 -w0 >"$W/value"
redis-cli -h 127.0.0.1 -p "$ENTRY" -x set big <"$W/value" >"$W/set.out"
redis-cli -h 127.0.0.1 -p "$port" --raw get big | head -c -1 >"$W/direct"
redis-cli -h 127.0.0.1 -p "$ENTRY" --raw get big | head -c -1 >"$W/through"
cmp "$W/value" "$W/direct" && cmp "$W/value" "$W/through" || fail "the value differs"

pass "redis-benchmark 16 clients: SET $set_rate/s, GET $get_rate/s, LRANGE_100 $range_rate/s, GET pipelined $pipelined/s"
