#!/bin/sh
# Installs what is missing and runs the agent: deploy/run.sh [OPTIONS OF `edge-agent run`]
# Needs no root where nothing is missing, and no network from the second time on.
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)
# shellcheck source=deploy/provision.sh
. "$root/deploy/provision.sh"

if ! command -v mosquitto >/dev/null; then
    # The clients are for the commands that README and the agent name; the agent itself needs only the broker.
    require mosquitto=mosquitto mosquitto_pub=mosquitto-clients
fi
prepare_venv requirements.lock
# For a small process: few arenas for its threads, and tracebacks without carets (0.5 MB together).
export MALLOC_ARENA_MAX=2 PYTHONNODEBUGRANGES=1
exec "$root/.venv/bin/python" -m edge_agent run "$@"
