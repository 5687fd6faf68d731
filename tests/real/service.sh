#!/usr/bin/env bash
# The units of `sealway service install`: systemd's own checks accept them, and what is run makes no system call that they forbid.
. "$(dirname "$0")/lib.sh"
need systemd-analyze=systemd strace=strace /bin/kill=procps
binary

verify() { # verify WHOSE FILE: systemd accepts it without a word
  systemd-analyze "--$1" --man=no verify "$2" >"$W/verify.out" 2>"$W/verify.err" || fail "$2 is refused"
  [ ! -s "$W/verify.err" ] || fail "$2 is accepted with a complaint"
}

# A path that has to be quoted, too.
mkdir -m 700 "$W/units" "$W/a b" "$W/home 50%"
cp "$SEALWAY" "$W/a b/sealway"
units=0
for scope in user system; do
  for words in "relay --listen 0.0.0.0:443" "node --via relay.example.com:4100 --outlet web=127.0.0.1:80 --trust everyone" \
    "inlet --listen 127.0.0.1:8081 --to /dnsaddr/relay.example.com/tcp/4100/service/forward_to_bob/secure/sealway_xx1/service/web"; do
    units=$((units + 1))
    # shellcheck disable=SC2086 # the words are words
    "$W/a b/sealway" service install --print --$scope -- $words >"$W/units/sealway-$scope-$units.service"
    verify $scope "$W/units/sealway-$scope-$units.service"
  done
done
"$SEALWAY" --home "$W/home 50%" service install --user --name sealway-here -- relay --listen 127.0.0.1:0 >"$W/install.out" 2>"$W/install.err"
verify user "$(cat "$W/install.out")"
grep -q '"'"$W"'/home 50%%"' "$(cat "$W/install.out")" || fail "the home is not quoted"

# What systemd would not accept is noticed: the check can fail.
sed 's/^Restart=.*/Restart=perhaps/; s/^ExecStart=.*/ExecStart=no/' "$W/units/sealway-system-4.service" >"$W/units/broken.service"
if systemd-analyze --man=no verify "$W/units/broken.service" >/dev/null 2>&1; then fail "a broken unit is accepted"; fi

# 10 is "nothing left to take away", 100 a service that nothing confines.
exposure=$(systemd-analyze security --offline=yes "$W/units/sealway-system-5.service" | sed -nE 's/.*Overall exposure level.*: ([0-9.]+) .*/\1/p')
systemd-analyze security --offline=yes --threshold=20 "$W/units/sealway-system-5.service" >/dev/null || fail "exposure $exposure"

# A relay, a node and an inlet with a megabyte through them: nothing that they ask the system for is outside of what the unit allows.
set_of() { systemd-analyze syscall-filter "$1" | sed -nE 's/^ +([a-z_0-9@-]+)$/\1/p'; }
members() { local entry; for entry in $(set_of "$1"); do case $entry in @*) members "$entry" ;; *) echo "$entry" ;; esac; done; }
{ members @system-service; members @default; } | sort -u >"$W/allowed"
{ members @privileged; members @resources; } | sort -u >"$W/denied"
comm -23 "$W/allowed" "$W/denied" >"$W/filter"
[ "$(wc -l <"$W/filter")" -gt 100 ] || fail "systemd's sets of system calls cannot be read"
real=$SEALWAY
printf '#!/bin/sh\nexec strace -f -qq -o "%s/calls.$$" "%s" "$@"\n' "$W" "$real" >"$W/traced"
chmod 755 "$W/traced"
SEALWAY=$W/traced
port=$(free_port)
mkdir "$W/www"
head -c 1048576 /dev/urandom >"$W/www/file"
start www python3 -m http.server "$port" --bind 127.0.0.1 --directory "$W/www"
wait_port "$PID" "$port"
tunnel files "127.0.0.1:$port"
python3 - "$ENTRY" >"$W/got" <<'PYTHON'
import sys, urllib.request
sys.stdout.buffer.write(urllib.request.urlopen(f"http://127.0.0.1:{sys.argv[1]}/file", timeout=60).read())
PYTHON
cmp "$W/www/file" "$W/got" || fail "the file differs"
for PID in "$INLET_PID" "$NODE_PID" "$RELAY_PID"; do pkill -TERM -P "$PID"; done
for PID in "$INLET_PID" "$NODE_PID" "$RELAY_PID"; do wait "$PID" || fail "ended with status $?"; done
sed -nE 's/^[0-9]+ +([a-z_0-9]+)\(.*/\1/p' "$W"/calls.* | sort -u >"$W/used"
calls=$(wc -l <"$W/used")
[ "$calls" -gt 30 ] || fail "only $calls system calls were seen"
# fchown is SQLite's when it runs as root, as no service of ours does; and it does without.
forbidden=$(comm -23 "$W/used" "$W/filter" | grep -vx fchown | tr '\n' ' ' || true)
[ -z "$forbidden" ] || fail "the unit forbids what is used: $forbidden"
# Memory that is written and run is what MemoryDenyWriteExecute= refuses.
! grep -hE '(mmap|mprotect)\(.*PROT_WRITE\|PROT_EXEC' "$W"/calls.* || fail "memory is written and run"

pass "$((units + 1)) units accepted, exposure $exposure of 10; $calls system calls of $(wc -l <"$W/filter") that are allowed"
