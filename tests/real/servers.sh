# shellcheck shell=bash
# Servers of Debian's packages on free loopback ports, and their clients. Sourced behind lib.sh.

# postgres_server: sets PG_PORT and PG_BIN. Roles and authentication: everybody is `sealway`, trusted.
postgres_server() {
  local as=() user
  need psql=postgresql-client '/usr/lib/postgresql/*/bin/initdb=postgresql' setpriv=util-linux
  PG_BIN=$(dirname "$(compgen -G '/usr/lib/postgresql/*/bin/initdb' | sort -V | tail -n 1)")
  mkdir -m 700 "$W/pg"
  if [ "$(id -u)" -eq 0 ]; then # the server refuses to run as root
    user=nobody
    getent passwd postgres >/dev/null && user=postgres
    chown "$user" "$W/pg"
    as=(setpriv --reuid "$user" --regid "$(id -g "$user")" --clear-groups env HOME="$W/pg")
  fi
  PG_PORT=$(free_port)
  cd "$W/pg"
  "${as[@]}" "$PG_BIN/initdb" -D "$W/pg/cluster" -U sealway -A trust --no-sync -E UTF8 --locale=C >"$W/initdb.out" 2>"$W/initdb.err"
  start postgres "${as[@]}" "$PG_BIN/postgres" -D "$W/pg/cluster" -h 127.0.0.1 -p "$PG_PORT" -k "" -c fsync=off
  cd "$W"
  wait_port "$PID" "$PG_PORT"
}

# pgbench_through PORT: pgbench's own transactions by 8 clients for REAL_PGBENCH_S seconds (default 20); sets PGBENCH.
pgbench_through() {
  local at=("-h" 127.0.0.1 -p "$1" -U sealway) out
  "$PG_BIN/pgbench" "${at[@]}" -i -q -s 2 postgres >"$W/pgbench-i.out" 2>"$W/pgbench-i.err"
  out=$("$PG_BIN/pgbench" "${at[@]}" -c 8 -j 2 -T "${REAL_PGBENCH_S:-20}" postgres 2>"$W/pgbench.err")
  grep -q 'number of failed transactions: 0 ' <<<"$out" || fail "pgbench: $(grep failed <<<"$out")"
  PGBENCH="pgbench 8 clients, $(sed -nE 's/^tps = ([0-9]+).*/\1/p' <<<"$out") transactions/s, none failed"
}

# sshd_server: sets SSH_PORT; who runs the test may log in with $W/ssh/user.
sshd_server() {
  local d=$W/ssh
  need sshd=openssh-server ssh=openssh-client scp=openssh-client ssh-keygen=openssh-client
  mkdir -m 700 "$d"
  ssh-keygen -q -t ed25519 -N '' -f "$d/host"
  ssh-keygen -q -t ed25519 -N '' -f "$d/user"
  cp "$d/user.pub" "$d/authorized"
  SSH_PORT=$(free_port)
  cat >"$d/sshd_config" <<END
Port $SSH_PORT
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
  # sshd wants its empty directory when it runs as root; packages make it only when the service starts. It stays, since
  # another test's sshd, running at the same time, may need it still.
  [ "$(id -u)" -ne 0 ] || mkdir -p -m 755 /run/sshd
  start sshd "$(command -v sshd)" -D -e -f "$d/sshd_config"
  wait_port "$PID" "$SSH_PORT"
}

# ssh_options PORT: sets SSH_OPTIONS for a client that comes by that port.
ssh_options() {
  local d=$W/ssh
  echo "[127.0.0.1]:$1 $(cut -d' ' -f1,2 "$d/host.pub")" >"$d/known"
  SSH_OPTIONS=(-F /dev/null -i "$d/user" -o IdentitiesOnly=yes -o StrictHostKeyChecking=yes -o BatchMode=yes
    -o "UserKnownHostsFile=$d/known" -o ConnectTimeout=20)
}
