#!/bin/sh
# Says which lines and branches no test runs: tests/coverage.sh [OPTIONS OF pytest]
#   without options   of the core, by its own tests alone; fails where there is one (part of tests/run.sh)
#   with options      of everything, by those tests and the processes that they start: tests/coverage.sh tests
# Expects the virtual environment that tests/run.sh makes.
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)
cd "$root"
measure() {
    .venv/bin/coverage erase
    status=0
    .venv/bin/coverage run "$@" || status=$?
    # A process that a test kills does not tell what it ran.
    .venv/bin/coverage combine --quiet
}

if [ $# -eq 0 ]; then
    measure --source edge_agent/core -m pytest -q tests/core
    [ "$status" -ne 0 ] || .venv/bin/coverage report --fail-under 100 || status=$?
else
    measure -m pytest -q "$@"
    .venv/bin/coverage report
fi
exit "$status"
