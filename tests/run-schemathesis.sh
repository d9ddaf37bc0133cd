#!/bin/sh
# Holds a running agent against its OpenAPI document by schemathesis: tests/run-schemathesis.sh [OPTIONS OF schemathesis]
# Installs it into a virtual environment of its own, once. Takes about 4 minutes.
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)
# shellcheck source=deploy/provision.sh
. "$root/deploy/provision.sh"
version=4.32.5

require mosquitto=mosquitto
prepare_venv requirements-dev.lock

venv=${XDG_CACHE_HOME:-$HOME/.cache}/edge-agent/schemathesis-$version
if [ ! -e "$venv/.installed" ]; then
    say "installing schemathesis $version into $venv"
    find_python
    "$python" -m venv --clear "$venv"
    "$venv/bin/python" -m pip install -qq --disable-pip-version-check --no-input "schemathesis==$version" </dev/null >&2 ||
        die 'pip could not install schemathesis; is there a network? Its messages are above.'
    touch "$venv/.installed"
fi

cd "$root"
exec .venv/bin/python -m tests.web.schemathesis "$venv/bin/schemathesis" "$@"
