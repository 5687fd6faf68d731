#!/usr/bin/env bash
# OpenSSH through inlet, relay and outlet: scp of a file up and down, equal SHA-256.
# REAL_SCP_MIB: its size in MiB (default 1024).
. "$(dirname "$0")/lib.sh"
. "$TOP/tests/real/servers.sh"

mib=${REAL_SCP_MIB:-1024}
d=$W/ssh
sshd_server
tunnel ssh "127.0.0.1:$SSH_PORT"

ssh_options "$ENTRY"
user=$(id -un)
[ "$(ssh "${SSH_OPTIONS[@]}" -p "$ENTRY" "$user@127.0.0.1" echo through)" = through ] || fail "ssh ran no command"

bytes=$((mib * 1048576))
head -c "$bytes" /dev/urandom >"$d/file"
at=$(date +%s%N)
scp -q "${SSH_OPTIONS[@]}" -P "$ENTRY" "$d/file" "$user@127.0.0.1:$d/up"
up=$(rate "$bytes" "$at")
want=$(sum "$d/file")
rm "$d/file"
[ "$(sum "$d/up")" = "$want" ] || fail "the uploaded file differs"
at=$(date +%s%N)
scp -q "${SSH_OPTIONS[@]}" -P "$ENTRY" "$user@127.0.0.1:$d/up" "$d/down"
down=$(rate "$bytes" "$at")
[ "$(sum "$d/down")" = "$want" ] || fail "the downloaded file differs"

pass "scp of $mib MiB: up $up, down $down, SHA-256 ${want:0:16}... equal"
