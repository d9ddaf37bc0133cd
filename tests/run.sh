#!/bin/sh
# Installs what the tests need, then checks and tests everything: tests/run.sh [--long] [OPTIONS OF pytest]
# --long takes the long profile: more examples, longer runs.
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)
# shellcheck source=deploy/provision.sh
. "$root/deploy/provision.sh"

selection='not long' patience=120
for argument in "$@"; do
    shift
    if [ "$argument" = --long ]; then
        EDGE_AGENT_TEST_PROFILE=long
        export EDGE_AGENT_TEST_PROFILE
        selection='long or not long' patience=1800
    else
        set -- "$@" "$argument"
    fi
done

require mosquitto=mosquitto mosquitto_pub=mosquitto-clients ffmpeg=ffmpeg chromium=chromium git=git \
    shellcheck=shellcheck
prepare_venv requirements-dev.lock
cd "$root"
.venv/bin/ruff check --quiet
.venv/bin/ruff format --check --quiet
.venv/bin/mypy
.venv/bin/python -m tests.audit
if [ $# -eq 0 ]; then
    tests/coverage.sh
    set -- --ignore tests/core
fi
# Files, not tests, go to the workers: those of one file share what is costly to start. Three on two cores, because they
# wait for most of their time.
status=0
.venv/bin/python -m pytest -q -n 3 --dist loadfile --cache-clear --timeout "$patience" -m "$selection" "$@" || status=$?
[ "$status" -eq 1 ] || exit "$status"
# Tests of real processes can starve on a machine that does other work. A few that failed get a second try, alone, and
# stay on record above; what fails twice, or more than a few, is a fault.
failed=$(.venv/bin/python -c 'import json; print(len(json.load(open(".pytest_cache/v/cache/lastfailed"))))')
[ "$failed" -le 5 ] || exit 1
say "$failed failed beside others; once more, alone"
exec .venv/bin/python -m pytest -q --last-failed --last-failed-no-failures none --timeout "$patience" -m "$selection" "$@"
