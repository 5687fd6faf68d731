#!/usr/bin/env bash
# kill -9 of the relay or either node at random moments under transfer. KILLS (default 50), SEED (default 1).
. "$(dirname "$0")/lib.sh"
need python3=python3-minimal
binary
log=${SEALWAY_TEST_LOG:-}
[ -z "$log" ] || mkdir -p "$log/kills"
trap - ERR
if python3 "$(dirname "$0")/kills.py" --sealway "$SEALWAY" --work "$W" --kills "${KILLS:-50}" --seed "${SEED:-1}" ${log:+--logs "$log/kills"}; then
  VERDICT=pass
  exit 0
fi
VERDICT=fail # the program printed the FAIL line
exit 1
