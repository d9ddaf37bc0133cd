#!/bin/sh
# Tests with a real Home Assistant: tests/run-homeassistant.sh [OPTIONS OF pytest]
# Installs the newest one that this machine's newest Python takes (2025.4 needs 3.13, 2026.3 needs 3.14.2) into a
# virtual environment of its own, about 1 GB, once. HOMEASSISTANT_VERSION asks for a certain one,
# HOMEASSISTANT_PYTHON for a certain interpreter, HOMEASSISTANT_VENV for another place. Takes about 8 minutes.
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)
# shellcheck source=deploy/provision.sh
. "$root/deploy/provision.sh"

require mosquitto=mosquitto mosquitto_pub=mosquitto-clients ffmpeg=ffmpeg chromium=chromium
prepare_venv requirements-dev.lock

if [ -z "${EDGE_AGENT_HOMEASSISTANT:-}" ]; then
    for candidate in "${HOMEASSISTANT_PYTHON:-}" python3.14 "$HOME"/.pyenv/versions/3.14*/bin/python \
        python3.13 "$HOME"/.pyenv/versions/3.13*/bin/python python3; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 13))' 2>/dev/null; then
            break
        fi
        candidate=
    done
    [ -n "$candidate" ] || die 'Home Assistant needs Python 3.13 or newer: install one, or name it in HOMEASSISTANT_PYTHON'
    for_python=$("$candidate" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    cache=${XDG_CACHE_HOME:-$HOME/.cache}/edge-agent
    venv=${HOMEASSISTANT_VENV:-$cache/homeassistant-${HOMEASSISTANT_VERSION:-newest}-python$for_python}
    if [ ! -e "$venv/.installed" ]; then
        say "installing Home Assistant into $venv"
        "$candidate" -m venv --clear "$venv"
        pip_install() {
            "$venv/bin/python" -m pip install -qq --disable-pip-version-check --no-input "$@" </dev/null >&2
        }
        pip_install "homeassistant${HOMEASSISTANT_VERSION:+==$HOMEASSISTANT_VERSION}" ||
            die 'pip could not install Home Assistant; is there a network? Its messages are above.'
        # Home Assistant would install these at its first start; the tests start it without a network.
        "$venv/bin/python" "$root/tests/homeassistant/requirements_of.py" mqtt mjpeg frontend config history logbook \
            recorder automation script input_boolean analytics image camera event stream >"$venv/requirements.txt"
        pip_install --requirement "$venv/requirements.txt" ||
            die 'pip could not install what the integrations need. Its messages are above.'
        # Some of what it sets up unasked, such as voice assistants, needs a compiler; only its pages would miss it.
        "$venv/bin/python" "$root/tests/homeassistant/requirements_of.py" >"$venv/unasked.txt"
        while read -r requirement; do
            pip_install --prefer-binary "$requirement" || say "goes without $requirement"
        done <"$venv/unasked.txt"
        touch "$venv/.installed"
    fi
    EDGE_AGENT_HOMEASSISTANT=$venv/bin/hass
    export EDGE_AGENT_HOMEASSISTANT
fi
say "Home Assistant $("$EDGE_AGENT_HOMEASSISTANT" --version)"

cd "$root"
exec .venv/bin/python -m pytest -q tests/homeassistant "$@"
