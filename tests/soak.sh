#!/bin/sh
# An hour of everything at once, and a report: tests/soak.sh [--minutes 60] [--seed N] [--keep DIR] [--report FILE]
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)
# shellcheck source=deploy/provision.sh
. "$root/deploy/provision.sh"

require mosquitto=mosquitto
prepare_venv requirements-dev.lock
cd "$root"
exec .venv/bin/python -m tests.soak "$@"
