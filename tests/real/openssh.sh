#!/usr/bin/env bash
# OpenSSH through inlet, relay and outlet: scp of a file up and down, equal SHA-256.
# REAL_SCP_MIB: its size in MiB (default 1024).
. "$(dirname "$0")/lib.sh"
need sshd=openssh-server ssh=openssh-client scp=openssh-client ssh-keygen=openssh-client

mib=${REAL_SCP_MIB:-1024}
d=$W/ssh
mkdir -m 700 "$d"
ssh-keygen -q -t ed25519 -N '' -f "$d/host"
ssh-keygen -q -t ed25519 -N '' -f "$d/user"
cp "$d/user.pub" "$d/authorized"
port=$(free_port)
cat >"$d/sshd_config" <<END
Port $port
ListenAddress 127.0.0.1
HostKey $d/host
AuthorizedKeysFile $d/authorized
PidFile none
UsePAM no
StrictModes no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
Subsystem sftp internal-sftp
END
# sshd wants its empty directory when it runs as root; packages make it only when the service starts.
if [ "$(id -u)" -eq 0 ] && [ ! -d /run/sshd ]; then
  mkdir -m 755 /run/sshd
  EMPTY_DIRS+=(/run/sshd)
fi
start sshd "$(command -v sshd)" -D -e -f "$d/sshd_config"
wait_port "$PID" "$port"
tunnel ssh "127.0.0.1:$port"

options=(-F /dev/null -i "$d/user" -o IdentitiesOnly=yes -o StrictHostKeyChecking=yes -o BatchMode=yes
  -o "UserKnownHostsFile=$d/known" -o ConnectTimeout=20)
echo "[127.0.0.1]:$ENTRY $(cut -d' ' -f1,2 "$d/host.pub")" >"$d/known"
user=$(id -un)
[ "$(ssh "${options[@]}" -p "$ENTRY" "$user@127.0.0.1" echo through)" = through ] || fail "ssh ran no command"

bytes=$((mib * 1048576))
head -c "$bytes" /dev/urandom >"$d/file"
at=$(date +%s%N)
scp -q "${options[@]}" -P "$ENTRY" "$d/file" "$user@127.0.0.1:$d/up"
up=$(rate "$bytes" "$at")
want=$(sum "$d/file")
rm "$d/file"
[ "$(sum "$d/up")" = "$want" ] || fail "the uploaded file differs"
at=$(date +%s%N)
scp -q "${options[@]}" -P "$ENTRY" "$user@127.0.0.1:$d/up" "$d/down"
down=$(rate "$bytes" "$at")
[ "$(sum "$d/down")" = "$want" ] || fail "the downloaded file differs"

pass "scp of $mib MiB: up $up, down $down, SHA-256 ${want:0:16}... equal"
