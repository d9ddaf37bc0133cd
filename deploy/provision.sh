# Sourced by deploy/run.sh and tests/run.sh: installs missing Debian packages and keeps the virtual environment.
# shellcheck shell=sh disable=SC2154  # root
# POSIX sh. Expects $root, the folder of the sources. Says on stderr what it does; silent when nothing is missing.

# A user's PATH leaves out the folders that daemons such as mosquitto live in.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
export PATH

say() {
    printf '%s\n' "edge-agent: $*" >&2
}

die() {
    say "$*"
    exit 1
}

# install_packages PACKAGE...: by apt-get as root or through a sudo that asks no password; otherwise names them and
# ends the script.
install_packages() {
    as_root=
    if [ "$(id -u)" -ne 0 ]; then
        as_root='sudo -n'
        if ! sudo -n true 2>/dev/null; then
            die "missing: $*. Install with: sudo apt-get update && sudo apt-get install $*"
        fi
    fi
    command -v apt-get >/dev/null || die "missing, and no apt-get here to install it with: $*"
    say "installing $*"
    # shellcheck disable=SC2086  # as_root is empty or two words
    {
        $as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq
        $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends \
            -o Dpkg::Use-Pty=0 "$@"
    } </dev/null >&2 || die "apt-get could not install $*; its messages are above"
    case " $* " in
    *' mosquitto '*)
        # The package starts a broker of its own at once. The agent starts one where it needs one.
        if [ -d /run/systemd/system ]; then
            $as_root systemctl disable --now mosquitto.service >&2 || say 'mosquitto.service could not be disabled'
        fi
        ;;
    esac
}

# require COMMAND=PACKAGE...: installs the packages of those commands that are not there, all in one go.
require() {
    missing=
    for pair in "$@"; do
        command -v "${pair%%=*}" >/dev/null || missing="$missing ${pair#*=}"
    done
    # Named with the rest, so that nobody who has to ask for packages has to ask twice.
    if [ ! -e "$root/.venv" ] && command -v python3 >/dev/null && ! python3 -c 'import ensurepip, venv' 2>/dev/null; then
        missing="$missing python3-venv"
    fi
    # shellcheck disable=SC2086  # a list of package names
    [ -z "$missing" ] || install_packages $missing
}

# find_python: sets $python to the first interpreter that the project works with.
find_python() {
    for python in python3 python3.14 python3.13 python3.12 python3.11 /usr/bin/python3; do
        if "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11) or sys.maxsize < 2**32)' 2>/dev/null; then
            return
        fi
    done
    if ! command -v python3 >/dev/null; then
        install_packages python3 python3-venv
        python=python3
        return
    fi
    die "needs a 64-bit Python 3.11 or newer, found only $(python3 --version 2>&1) on $(uname -m)." \
        'Debian 12 and the 64-bit Raspberry Pi OS of 2023 or later have one.'
}

# prepare_venv LOCK: makes $root/.venv hold what LOCK names, by hash and from wheels alone, and the project itself.
# Needs the network only when the lock, pyproject.toml or the interpreter has changed since the last time.
prepare_venv() {
    lock=$root/$1
    venv=$root/.venv
    stamp=$venv/.installed-$1
    venv_python=$venv/bin/python
    # A stamp of another interpreter (the system was upgraded) or place (the folder was moved) means: start afresh.
    home=$("$venv_python" -c 'import sys; print(sys.version, sys.prefix)' 2>/dev/null) || home=
    if [ -z "$home" ] || [ "$home" != "$(cat "$venv/.made-for" 2>/dev/null)" ]; then
        find_python
        "$python" -c 'import ensurepip, venv' 2>/dev/null || install_packages python3-venv
        say "making a virtual environment in $venv"
        "$python" -m venv --clear "$venv" >&2 || die "could not make $venv with $python"
        "$venv_python" -c 'import sys; print(sys.version, sys.prefix)' >"$venv/.made-for"
    fi
    wanted=$(cat "$lock" "$root/pyproject.toml" "$venv/.made-for" | sha256sum)
    [ "$wanted" != "$(cat "$stamp" 2>/dev/null)" ] || return 0
    say "installing the Python packages of $1"
    "$venv_python" -m pip install -qq --disable-pip-version-check --no-input --no-deps --require-hashes \
        --only-binary :all: --requirement "$lock" </dev/null >&2 ||
        die "pip could not install $1; is there a network? Its messages are above."
    # The project itself needs no build: a path file lets the interpreter find it, a script names its command.
    site=$("$venv_python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    printf '%s\n' "$root" >"$site/edge_agent.pth"
    # Compiled once, whatever PYTHONDONTWRITEBYTECODE says: an agent that compiles itself takes 0.5 MB and 0.5 s more.
    "$venv_python" -m compileall -qq "$root/edge_agent" >&2 || say 'the sources are compiled at each start'
    printf '#!/bin/sh\nexec "%s" -m edge_agent "$@"\n' "$venv_python" >"$venv/bin/edge-agent"
    chmod +x "$venv/bin/edge-agent"
    printf '%s\n' "$wanted" >"$stamp"
}
