#!/usr/bin/env bash
# nginx through inlet, relay and outlet: curl fetches a large file, eight at once, many small ones over
# connections of their own and over one; and fails promptly when the server is gone.
. "$(dirname "$0")/lib.sh"
need nginx=nginx curl=curl

mkdir -m 755 "$W/www" "$W/nginx"
mib=${REAL_CURL_MIB:-128}
head -c "$((mib * 1048576))" /dev/urandom >"$W/www/large"
head -c 3000 /dev/urandom >"$W/www/small"
chmod 644 "$W/www/"*
port=$(free_port)
n=$W/nginx
cat >"$n/nginx.conf" <<END
daemon off;
pid $n/pid;
error_log stderr warn;
worker_processes 1;
events { worker_connections 256; }
http {
  access_log off;
  client_body_temp_path $n/a; proxy_temp_path $n/b; fastcgi_temp_path $n/c; uwsgi_temp_path $n/d; scgi_temp_path $n/e;
  server { listen 127.0.0.1:$port; root $W/www; keepalive_requests 10000; }
}
END
start nginx nginx -e stderr -p "$n" -c "$n/nginx.conf"
server=$PID
wait_port "$server" "$port"
tunnel web "127.0.0.1:$port"

url=http://127.0.0.1:$ENTRY
get=(curl -q -sS --fail --noproxy '*' --max-time 120)
want=$(sum "$W/www/large")
at=$(date +%s%N)
"${get[@]}" -o "$W/got" "$url/large"
speed=$(rate "$((mib * 1048576))" "$at")
[ "$(sum "$W/got")" = "$want" ] || fail "the file differs"
[ "$("${get[@]}" -r 1000-1999 "$url/large" | sha256sum)" = "$(tail -c +1001 "$W/www/large" | head -c 1000 | sha256sum)" ] || fail "a range differs"

at=$(date +%s%N)
fetches=()
for i in 1 2 3 4 5 6 7 8; do
  "${get[@]}" -o "$W/got$i" "$url/large" 2>"$W/curl$i.err" &
  fetches+=($!)
done
for pid in "${fetches[@]}"; do wait "$pid"; done
speed8=$(rate "$((mib * 8 * 1048576))" "$at")
for i in 1 2 3 4 5 6 7 8; do [ "$(sum "$W/got$i")" = "$want" ] || fail "file $i of eight differs"; done

small=$(sum "$W/www/small")
at=$(date +%s%N)
for ((i = 0; i < 50; i++)); do "${get[@]}" -o "$W/s" "$url/small"; [ "$(sum "$W/s")" = "$small" ] || fail "a small file differs"; done
separate=$(seconds_since "$at")
seq -f "url = $url/small?%.0f" 1 500 | awk -v w="$W" '{ print; print "output = " w "/s" }' >"$W/kept.curl"
at=$(date +%s%N)
"${get[@]}" -K "$W/kept.curl"
kept=$(seconds_since "$at")

kill "$server"
wait "$server" 2>/dev/null || true
at=$(date +%s%N)
if curl -q -sS --noproxy '*' --max-time 20 -o "$W/none" "$url/small" 2>"$W/refused.out"; then fail "curl succeeded without a server"; fi
refused=$(seconds_since "$at")
awk -v s="$refused" 'BEGIN { exit !(s < 5) }' || fail "the refusal took $refused s"

pass "curl $mib MiB at $speed, eight at once at $speed8, 50 connections in $separate s, 500 requests on one in $kept s, refusal in $refused s"
