#!/usr/bin/env bash
# PostgreSQL through inlet, relay and outlet: psql loads a table, reads it back, and sessions run side by side.
. "$(dirname "$0")/lib.sh"
. "$TOP/tests/real/servers.sh"

postgres_server
tunnel pg "127.0.0.1:$PG_PORT"

# -X: no .psqlrc; -A -t: bare values.
through() { psql -X -A -t -q -v ON_ERROR_STOP=1 -h 127.0.0.1 -p "$ENTRY" -U sealway -d postgres "$@"; }
direct() { psql -X -A -t -q -v ON_ERROR_STOP=1 -h 127.0.0.1 -p "$PG_PORT" -U sealway -d postgres "$@"; }

rows=200000
seq 1 "$rows" | awk '{ printf "%d\t%032x\n", $1, $1 * 2654435761 }' >"$W/rows.tsv"
through -c 'create table t (n int primary key, v text not null)'
at=$(date +%s%N)
through -c '\copy t from stdin' <"$W/rows.tsv"
loaded=$(seconds_since "$at")
at=$(date +%s%N)
through -c '\copy (select n, v from t order by n) to stdout' >"$W/back.tsv"
read_back=$(seconds_since "$at")
cmp "$W/rows.tsv" "$W/back.tsv" || fail "the table that came back differs"
digest="select md5(string_agg(n || v, ',' order by n)) from t"
[ "$(through -c "$digest")" = "$(direct -c "$digest")" ] || fail "the table differs from what the server holds"

sessions=()
for i in 1 2 3 4 5 6 7 8; do
  through -c "select count(*), sum(n) from t where n % 8 = $i % 8" >"$W/session$i.out" 2>"$W/session$i.err" &
  sessions+=($!)
done
for pid in "${sessions[@]}"; do wait "$pid"; done
[ "$(cat "$W"/session?.out | awk -F'|' '{ n += $1 } END { print n }')" = "$rows" ] || fail "parallel sessions disagree"

pass "$(psql --version | cut -d' ' -f1-3), $rows rows in $loaded s, out and equal in $read_back s, 8 sessions at once"
