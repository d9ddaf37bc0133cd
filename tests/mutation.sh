#!/bin/sh
# Changes the core in thousands of small ways and lists the changes that its tests do not notice:
#   tests/mutation.sh [PATTERN OF MUTANTS]      such as 'edge_agent.core.gaps.*'; all take 7 to 12 minutes
# Works in build/mutation, where a second call goes on from what the first has found: it tries mutants of changed
# functions and those that lived. Remove it to have all of them tried again.
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)
# shellcheck source=deploy/provision.sh
. "$root/deploy/provision.sh"

prepare_venv requirements-dev.lock
work=$root/build/mutation
mkdir -p "$work/tree"
# An environment of its own: in the project's one its sources would be found before the changed ones.
if [ ! -x "$work/venv/bin/mutmut" ]; then
    "$root/.venv/bin/python" -m venv "$work/venv"
    "$work/venv/bin/python" -m pip install -qq --no-deps --require-hashes --requirement "$root/requirements-dev.lock"
    "$work/venv/bin/python" -m pip install -qq 'mutmut==3.8.1'
fi
cd "$work/tree"
rm -rf edge_agent tests
cp -R "$root/edge_agent" "$root/tests" .
{
    cat "$root/pyproject.toml"
    cat <<'END'

[tool.mutmut]
source_paths = ["edge_agent"]
only_mutate = ["edge_agent/core/*"]
pytest_add_cli_args = ["-p", "no:xdist", "-p", "no:cacheprovider", "-W", "default"]
pytest_add_cli_args_test_selection = ["tests/core"]
use_git_change_detection = false
END
} >pyproject.toml
# The same examples in every run: a mutant must not live by chance.
CI=true
export CI
nice "$work/venv/bin/mutmut" run "$@"
# One that lived in an earlier call may be noticed by a test that was written since.
lived=$("$work/venv/bin/mutmut" results | sed -n 's/: survived$//p')
# shellcheck disable=SC2086
[ -z "$lived" ] || nice "$work/venv/bin/mutmut" run $lived
"$work/venv/bin/mutmut" results | sed '/: not checked$/d'
