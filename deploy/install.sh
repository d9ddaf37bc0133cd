#!/bin/sh
# Installs the agent as a service on Debian 12, 13 or the 64-bit Raspberry Pi OS made of them. Run again: upgrades.
#
#   sudo deploy/install.sh [--simulated] [--open-page] [--offload] [--no-start]
#   sudo deploy/install.sh --uninstall [--purge --yes]
#
# --simulated   a new configuration takes simulated cameras (for machines without cameras)
# --open-page   a new configuration serves the page to the network, and a token for it is shown once
# --offload     also what sends footage to a store (38 MB); upgrades keep it
# --no-start    the service is enabled, but not started
# --uninstall   takes the software away; configuration, recordings and the user stay
# --purge       with it: these too, what lies in /etc/edge-agent and /var/lib/edge-agent is lost; needs --yes
#
# DESTDIR=/somewhere installs below that folder, for images: no packages, no user and no service of this machine is
# touched. With DESTDIR no root is needed.
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)
# shellcheck source=deploy/provision.sh
. "$root/deploy/provision.sh"

DESTDIR=${DESTDIR-}
DESTDIR=${DESTDIR%/}
user=edge-agent
opt=/opt/edge-agent
etc=/etc/edge-agent
var=/var/lib/edge-agent
unit=/etc/systemd/system/edge-agent.service
command=/usr/local/bin/edge-agent
configuration=$etc/edge-agent.toml

usage() {
    sed -n 's/^# \{0,1\}//; 2,15p' "$0" >&2
    exit 2
}

# for_real: whether this machine itself is installed on, and not a folder.
for_real() {
    [ -z "$DESTDIR" ]
}

# with_systemd: whether a systemd runs here that can be told. In a chroot or a container there is none.
with_systemd() {
    for_real && [ -d /run/systemd/system ]
}

# owned MODE OWNER GROUP PATH: gives a path its rights, and its owner where there is such a user.
owned() {
    chmod "$1" "$DESTDIR$4"
    if for_real; then
        chown "$2:$3" "$4"
    fi
}

# folder MODE OWNER GROUP PATH: makes it where it is missing. What an administrator changed stays.
folder() {
    [ ! -d "$DESTDIR$4" ] || return 0
    mkdir -p "$DESTDIR$4"
    owned "$@"
}

# hand_over PATH: what root's own deploy/run.sh left there is the service's from now on, which could not use it else.
hand_over() {
    for_real && [ "$(stat -c %u "$1")" -eq 0 ] || return 0
    say "giving $1 to the user $user"
    chown -R "$user:$user" "$1"
    chmod 750 "$1"
}

make_user() {
    for_real || return 0
    if ! getent passwd "$user" >/dev/null; then
        say "making the user $user"
        useradd --system --user-group --home-dir "$var" --no-create-home --shell /usr/sbin/nologin "$user"
    fi
    # The cameras' devices are of this group.
    if getent group video >/dev/null; then
        usermod --append --groups video "$user"
    else
        say 'there is no group video here: real cameras would be out of reach'
    fi
}

# need_packages: what runs the agent. A Raspberry Pi OS also gets its camera program.
need_packages() {
    for_real || return 0
    require python3=python3 mosquitto=mosquitto mosquitto_pub=mosquitto-clients setpriv=util-linux
    if [ -e /etc/rpi-issue ] && ! command -v rpicam-vid >/dev/null; then
        install_packages rpicam-apps
    fi
}

# make_release: sets $release to the folder in $opt/releases that holds exactly these sources, and makes it if needed.
make_release() {
    find_python
    lock=requirements.lock
    [ ! -e "$DESTDIR$opt/.offload" ] || lock=requirements-offload.lock
    made_for=$("$python" -c 'import sys; print(sys.version)')
    mark=$({
        cat "$root/$lock" "$root/deploy/install.sh" "$root/deploy/provision.sh"
        printf '%s\n' "$made_for"
        cd "$root" && find edge_agent -type f ! -name '*.pyc' -exec sha256sum {} + | LC_ALL=C sort
    } | sha256sum | cut -c1-12)
    release=$opt/releases/$mark
    [ ! -e "$DESTDIR$release/.complete" ] || return 0
    "$python" -c 'import ensurepip, venv' 2>/dev/null || {
        for_real || die "$python has no venv: install python3-venv"
        install_packages python3-venv
    }
    say "making $release"
    rm -rf "$DESTDIR$release"
    mkdir -p "$DESTDIR$release"
    "$python" -m venv "$DESTDIR$release" >&2 || die "could not make $release with $python"
    venv_python=$DESTDIR$release/bin/python
    if ! "$venv_python" -m pip install -qq --disable-pip-version-check --no-input --no-deps --require-hashes \
        --only-binary :all: --requirement "$root/$lock" </dev/null >&2; then
        rm -rf "$DESTDIR$release"
        die "pip could not install $lock; is there a network? Its messages are above. Nothing was changed."
    fi
    copy_project
    # On the disk before anything points to it: a power cut during an upgrade leaves the old one.
    sync
    : >"$DESTDIR$release/.complete"
}

copy_project() {
    site=$("$venv_python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    cp -R "$root/edge_agent" "$site/"
    find "$site/edge_agent" -name __pycache__ -prune -exec rm -rf {} +
    "$venv_python" -m compileall -qq "$site/edge_agent" >&2
    cp "$root/deploy/edge-agent.toml" "$root/LICENSE" "$DESTDIR$release/"
    # By the name that an upgrade moves: an agent that restarts itself starts the new one.
    # Never with what lies in the working directory.
    cat >"$DESTDIR$release/bin/edge-agent" <<END
#!/bin/sh
# For a small process: few arenas for its threads, and tracebacks without carets.
export PYTHONSAFEPATH=1 MALLOC_ARENA_MAX=2 PYTHONNODEBUGRANGES=1
exec $opt/venv/bin/python -m edge_agent "\$@"
END
    chmod -R u+rwX,go+rX,go-w "$DESTDIR$release"
    chmod 755 "$DESTDIR$release/bin/edge-agent"
}

# switch_to_release: lets $opt/venv name it, in one step, and removes all but it and the one before.
switch_to_release() {
    before=$(readlink "$DESTDIR$opt/venv" || true)
    upgraded=
    [ "$before" != "$release" ] || return 0
    upgraded=yes
    ln -sfn "$release" "$DESTDIR$opt/venv.new"
    mv -T "$DESTDIR$opt/venv.new" "$DESTDIR$opt/venv"
    sync
    for old in "$DESTDIR$opt"/releases/*; do
        case $old in
        "$DESTDIR$release" | "$DESTDIR${before:-$release}") ;;
        *) rm -rf "$old" ;;
        esac
    done
}

write_configuration() {
    if [ -e "$DESTDIR$configuration" ]; then
        say "keeping $configuration; $opt/venv/edge-agent.toml has all keys"
        return
    fi
    edits=''
    [ -z "$simulated" ] || edits='s/^command = "rpicam-vid"$/command = "simulated"/;'
    [ -z "$open_page" ] || edits="$edits"'s/^host = "127.0.0.1"$/host = "0.0.0.0"/;s/^#tokens_file/tokens_file/;'
    sed "$edits" "$root/deploy/edge-agent.toml" >"$DESTDIR$configuration.new"
    owned 640 root "$user" "$configuration.new"
    mv "$DESTDIR$configuration.new" "$DESTDIR$configuration"
    [ -z "$open_page" ] || make_token
}

# make_token: one of an operator, shown here alone: the service's own way would show it to the journal.
make_token() {
    tokens=$var/tokens
    [ ! -e "$DESTDIR$tokens" ] || return 0
    token=$("$DESTDIR$release/bin/python" -c 'import secrets; print(secrets.token_urlsafe(24))')
    digest=$(printf %s "$token" | sha256sum | cut -d' ' -f1)
    (
        umask 077
        printf 'operator admin sha256:%s\n' "$digest" >"$DESTDIR$tokens"
    )
    owned 600 "$user" "$user" "$tokens"
    say "the token of the page, shown this once (user name: any): $token"
}

# write_command: `edge-agent` for people. Run by root it takes the service's user, so that no file becomes root's.
write_command() {
    mkdir -p "$DESTDIR${command%/*}"
    cat >"$DESTDIR$command.new" <<END
#!/bin/sh
# Made by deploy/install.sh: the agent's commands, with the places and the user of the service.
STATE_DIRECTORY=\${STATE_DIRECTORY-$var}
export STATE_DIRECTORY
if [ "\$(id -u)" -ne 0 ]; then
    exec $opt/venv/bin/edge-agent "\$@"
fi
HOME=$var
export HOME
# A folder of root's, where the user may not look for a configuration file.
setpriv --reuid $user --regid $user --init-groups test -x "\$PWD" || cd $var
exec setpriv --reuid $user --regid $user --init-groups $opt/venv/bin/edge-agent "\$@"
END
    chmod 755 "$DESTDIR$command.new"
    mv "$DESTDIR$command.new" "$DESTDIR$command"
}

write_unit() {
    mkdir -p "$DESTDIR${unit%/*}"
    cp "$root/deploy/edge-agent.service" "$DESTDIR$unit.new"
    chmod 644 "$DESTDIR$unit.new"
    mv "$DESTDIR$unit.new" "$DESTDIR$unit"
    if ! with_systemd; then
        mkdir -p "$DESTDIR/etc/systemd/system/multi-user.target.wants"
        ln -sf "$unit" "$DESTDIR/etc/systemd/system/multi-user.target.wants/"
        say 'no systemd runs here: the service is enabled and starts with the machine'
        return
    fi
    systemctl daemon-reload
    systemctl enable --quiet edge-agent.service
    [ -n "$start" ] || return 0
    if ! systemctl is-active --quiet edge-agent.service; then
        systemctl start edge-agent.service || die 'the service did not start: journalctl -u edge-agent says why'
        say 'the service runs: journalctl -fu edge-agent'
    elif [ -n "$upgraded" ]; then
        # A restart of the agent alone leaves the recorders running; one of the service would end their files.
        "$command" send restart >&2 || systemctl restart edge-agent.service
        say 'the service runs the new version'
    fi
}

do_install() {
    for_real && [ "$(id -u)" -ne 0 ] && die 'needs root: sudo deploy/install.sh'
    # What is made for others to read must not depend on who installs.
    umask 022
    need_packages
    make_user
    folder 755 root root "$opt/releases"
    [ -z "$offload" ] || : >"$DESTDIR$opt/.offload"
    folder 750 root "$user" "$etc"
    folder 750 "$user" "$user" "$var"
    hand_over "$var"
    make_release
    write_configuration
    switch_to_release
    write_command
    write_unit
    say "installed $("$DESTDIR$release/bin/python" -I -c 'import edge_agent; print(edge_agent.__version__)')." \
        "Configuration: $configuration. Is all there? sudo edge-agent check"
}

do_uninstall() {
    for_real && [ "$(id -u)" -ne 0 ] && die 'needs root: sudo deploy/install.sh --uninstall'
    if [ -n "$purge" ] && [ -z "$yes" ]; then
        say "--purge deletes $etc and $var with every recording in it:"
        du -sh "$DESTDIR$etc" "$DESTDIR$var" >&2 || true
        say 'nothing was done. Say --uninstall --purge --yes if you mean it.'
        exit 2
    fi
    if with_systemd && [ -e "$unit" ]; then
        systemctl disable --now edge-agent.service >&2 || true
    fi
    rm -f "$DESTDIR$unit" "$DESTDIR/etc/systemd/system/multi-user.target.wants/edge-agent.service" "$DESTDIR$command"
    rm -rf "${DESTDIR:-}$opt"
    if with_systemd; then
        systemctl daemon-reload
    fi
    if [ -z "$purge" ]; then
        say "uninstalled. Kept: $etc, $var and the user $user"
        return
    fi
    rm -rf "$DESTDIR$etc" "$DESTDIR$var"
    if for_real && getent passwd "$user" >/dev/null; then
        userdel "$user" || true
    fi
    say 'uninstalled and deleted. Recordings elsewhere (recording.root) were not touched.'
}

action=do_install simulated='' open_page='' offload='' start=yes purge='' yes=''
for argument in "$@"; do
    case $argument in
    --simulated) simulated=yes ;;
    --open-page) open_page=yes ;;
    --offload) offload=yes ;;
    --no-start) start='' ;;
    --uninstall) action=do_uninstall ;;
    --purge) purge=yes ;;
    --yes) yes=yes ;;
    *) usage ;;
    esac
done
if [ "$action" = do_install ] && [ -n "$purge$yes" ]; then
    usage
fi
"$action"
