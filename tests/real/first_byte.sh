#!/usr/bin/env bash
# How long a newcomer's way is: from a clone to the first byte of a private service through the portal, by the commands of the README.
# Prints each command as it is typed, and how long it took from the first one after the build to the first byte.
#
#   tests/real/first_byte.sh [cold]     cold: in a fresh clone, built with an empty home and an empty target directory
. "$(dirname "$0")/lib.sh"
need curl=curl python3=python3-minimal
TYPED=()
typed() { TYPED+=("$1"); echo "  $ $1"; }

if [ "${1:-}" = cold ]; then
  began=$(date +%s%N)
  typed "git clone sealway && cd sealway"
  git clone -q "$TOP" "$W/sealway"
  typed "cargo install --locked --path cli"
  # The toolchain is there already; the registry and the build are not.
  RUSTUP_HOME=${RUSTUP_HOME:-$(getent passwd "$(id -u)" | cut -d: -f6)/.rustup} CARGO_HOME=$W/user/.cargo \
    env -u CARGO_TARGET_DIR cargo install --quiet --locked --path "$W/sealway/cli" >"$W/install.out" 2>"$W/install.err"
  SEALWAY=$W/user/.cargo/bin/sealway
  echo "  (clone and build: $(seconds_since "$began") s)"
fi
binary
mkdir "$W/bin" "$W/www"
ln -s "$SEALWAY" "$W/bin/sealway"
PATH=$W/bin:$PATH
head -c 1048576 /dev/urandom >"$W/www/file"
web=$(free_port)
start www python3 -m http.server "$web" --bind 127.0.0.1 --directory "$W/www"
wait_port "$PID" "$web"

# Each end with a home of its own, as on two machines; nothing is configured.
built=${#TYPED[@]}
began=$(date +%s%N)
typed "sealway expose $web"
mkdir -m 700 "$W/bob" "$W/alice"
start expose env HOME="$W/bob" sealway expose "$web"
wait_event "$PID" "$W/expose.out" '^sealway1'
ticket=$(head -n 1 "$W/expose.out")
port=$(free_port)
typed "sealway connect TICKET --port $port"
start connect env HOME="$W/alice" sealway connect "$ticket" --port "$port"
wait_event "$PID" "$W/connect.out" '^ready on'
typed "curl -o file http://127.0.0.1:$port/file"
first=$(curl -sS -o "$W/file" -w '%{time_starttransfer}' "http://127.0.0.1:$port/file")
whole=$(seconds_since "$began")
cmp "$W/www/file" "$W/file" || fail "the file differs"
pass "$((${#TYPED[@]} - built)) commands after the build, first byte $whole s after the first was typed, curl waited for $first s of it"
