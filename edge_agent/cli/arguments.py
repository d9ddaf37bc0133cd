"""Every command with its arguments and help. Knows no room: it is loaded for every command but `run` alone.

`module` names the module of this package that carries a command out, `command` what stands in front of its errors.
"""

from __future__ import annotations

from argparse import SUPPRESS, ArgumentParser, ArgumentTypeError, RawDescriptionHelpFormatter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edge_agent import __version__
from edge_agent.core.commands import Verb
from edge_agent.core.model import is_name

MAX_SIMULATED = 10_000
_EPILOG = """\
exit codes: 0 all is well, 1 a fault while running, 2 bad configuration or usage

The configuration is looked for in --config, EDGE_AGENT_CONFIG, ./edge-agent.toml and /etc/edge-agent/edge-agent.toml;
every key is also a variable, such as EDGE_AGENT__MQTT__HOST.
"""


class _Commands:
    """Adds commands to a parser; all of them take `--config`, before or after their name."""

    def __init__(self, parent: ArgumentParser, prefix: str = "") -> None:
        self._prefix = prefix
        self._commands = parent.add_subparsers(required=True, metavar="COMMAND", title="commands")

    def add(self, name: str, module: str, told: str, more: str = "") -> ArgumentParser:
        command = self._commands.add_parser(
            name,
            help=told,
            description=f"{told[0].upper()}{told[1:]}." + (f"\n\n{more}" if more else ""),
            formatter_class=RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        command.add_argument("--config", type=Path, metavar="FILE", default=SUPPRESS, help="the configuration file")
        command.set_defaults(module=module, command=f"{self._prefix}{name}")
        return command

    def group(self, name: str, told: str) -> _Commands:
        command = self._commands.add_parser(
            name, help=told, description=f"{told[0].upper()}{told[1:]}.", allow_abbrev=False
        )
        return _Commands(command, f"{self._prefix}{name} ")


def parser() -> ArgumentParser:
    """The whole command line."""
    top = ArgumentParser(
        prog="edge-agent",
        description="Blackbox recorder for cameras on a Raspberry Pi, and tools for a fleet of them.",
        epilog=_EPILOG,
        formatter_class=RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    top.add_argument("--version", action="version", version=__version__)
    top.add_argument("--config", type=Path, metavar="FILE", help="the configuration file")
    commands = _Commands(top)
    commands.add("run", "agent", "run the agent")
    check = commands.add("check", "check", "look whether everything is there that the agent needs, and say what to do")
    _json(check)
    _add_send(commands)
    _add_fleet(commands)
    _add_recordings(commands.group("recordings", "look at what is stored, also while the agent runs"))
    _add_contract(commands)
    return top


def _add_send(commands: _Commands) -> None:
    send = commands.add(
        "send",
        "send",
        "give a command to a device, a group or all devices, and print their answers",
        "PAYLOAD is text (a mode, a duration, ON ...) or a JSON object, as on the command's MQTT topic.\n"
        "Succeeds when everybody who had to answer says `succeeded`.\n\n"
        "  edge-agent send start 10m\n"
        '  edge-agent send start \'{"mode": "dual-720p", "label": "tour 7"}\' --group vans\n'
        "  edge-agent send ping --all",
    )
    send.add_argument("verb", choices=[verb.value for verb in Verb], metavar="VERB", help=", ".join(Verb))
    send.add_argument("payload", nargs="?", default="", metavar="PAYLOAD", help="text or JSON; none by default")
    _add_target(send)
    send.add_argument("--timeout", type=_seconds(0.1, 86400), default=35.0, metavar="S", help="wait so long (35)")
    _json(send, "print the result documents, one a line")


def _add_fleet(commands: _Commands) -> None:
    fleet = commands.group("fleet", "look at all devices of the broker")
    status = fleet.add("status", "fleet", "a table of every device that the broker knows")
    status.add_argument("--group", type=_name, metavar="G", help="only the members of this group")
    status.add_argument("--watch", action="store_true", help="show it again every --interval seconds, until Ctrl-C")
    status.add_argument("--interval", type=_seconds(0.5, 3600), default=2.0, metavar="S", help="for --watch (2)")
    _json(status)
    simulate = commands.add(
        "simulate",
        "simulate",
        "run simulated devices against the configured broker, to try rules or to load a broker",
        "They obey every verb as real ones do, and say `simulated` in their info. What they record exists in their\n"
        "answers only. Stops with Ctrl-C; their retained documents are then removed from the broker.",
    )
    simulate.add_argument("--devices", type=_count, required=True, metavar="N", help=f"how many, up to {MAX_SIMULATED}")
    simulate.add_argument("--prefix", type=_prefix, default="sim", help="devices are called PREFIX-0001 ... (sim)")
    simulate.add_argument("--group", type=_name, action="append", default=[], metavar="G", help="deal them to groups")
    simulate.add_argument("--telemetry-interval", type=_seconds(0.5, 86400), metavar="S", help="(as configured)")
    simulate.add_argument(
        "--own-users", action="store_true", help="each device logs in under its own name with the configured password"
    )
    simulate.add_argument("--seconds", type=_seconds(0.1, 1e9), metavar="S", help="end after this time")
    simulate.add_argument("--keep", action="store_true", help="leave their retained documents on the broker")


def _add_recordings(recordings: _Commands) -> None:
    listing = recordings.add("list", "recordings", "list the stored segments, newest first")
    _add_filters(listing)
    listing.add_argument("--limit", type=_positive, metavar="N", help="no more than N")
    _json(listing)
    verify = recordings.add(
        "verify",
        "recordings",
        "read every stored file, and name what is damaged and where gaps are and why",
        "Fails when a file is damaged; gaps alone do not count as damage.",
    )
    verify.add_argument(
        "--every-byte", action="store_true", help="read all pictures too, which finds every changed bit and takes long"
    )
    verify.add_argument("--camera", type=_name, metavar="CAMERA", help="only of this camera")
    _add_window(verify, required=False)
    _json(verify)
    plan = recordings.add("plan", "recordings", "print what retention would delete, when and why; deletes nothing")
    _json(plan)
    clip = recordings.add(
        "clip", "recordings", "write one mp4 of a camera's footage over segment borders, without re-encoding"
    )
    clip.add_argument("camera", type=_name, metavar="CAMERA", help="whose footage")
    _add_window(clip, required=True)
    clip.add_argument("--output", type=Path, metavar="FILE", help="(blackbox_CAMERA_FROM_TO.mp4 in this directory)")
    for verb, told in (("lock", "protect footage from retention"), ("unlock", "release locked footage")):
        command = recordings.add(verb, "locking", f"{told}; the running agent does it")
        command.set_defaults(verb=verb)
        if verb == "lock":
            command.add_argument("--before", metavar="T", help="so much back from now (5m)")
            command.add_argument("--after", metavar="T", help="and so much from now on")
        command.add_argument("--label", metavar="TEXT", help="what to call it")
        _add_window(command, required=False)


def _add_contract(commands: _Commands) -> None:
    schema = commands.add(
        "schema", "schema", "print the contract for machines: JSON Schemas, and the MQTT topics as AsyncAPI"
    )
    schema.add_argument("name", nargs="?", metavar="NAME", help="`asyncapi`, or a schema such as `status`; all if none")
    schema.add_argument("--output", type=Path, metavar="DIR", help="write one file for each into this directory")
    discovery = commands.group("discovery", "what Home Assistant is told about this device")
    discovery.add("show", "discovery", "print the discovery document and its topic")
    discovery.add("remove", "discovery", "remove this device from Home Assistant")


def _add_target(command: ArgumentParser) -> None:
    target = command.add_mutually_exclusive_group()
    target.add_argument("--device", type=_name, metavar="D", help="this device (the configured one)")
    target.add_argument("--group", type=_group, metavar="G", help="every member of this group; `all` is every device")
    target.add_argument("--all", dest="group", action="store_const", const="all", help="every device")


def _add_filters(command: ArgumentParser) -> None:
    command.add_argument("--camera", type=_name, metavar="CAMERA", help="only of this camera")
    command.add_argument("--mode", type=_name, metavar="MODE", help="only of this mode")
    command.add_argument("--label", metavar="TEXT", help="only with this label, of the recording or of the lock")
    locked = command.add_mutually_exclusive_group()
    locked.add_argument("--locked", action="store_true", default=None, help="only what is locked")
    locked.add_argument("--unlocked", dest="locked", action="store_false", default=None, help="only what is not locked")
    _add_window(command, required=False)


def _add_window(command: ArgumentParser, *, required: bool) -> None:
    told = "ISO 8601 with Z or an offset, or seconds since 1970"
    command.add_argument("--from", dest="start", metavar="T", required=required, help=told)
    command.add_argument("--to", dest="end", metavar="T", required=required, help=told)


def _json(command: ArgumentParser, told: str = "print JSON") -> None:
    command.add_argument("--json", action="store_true", help=told)


def _name(text: str) -> str:
    if not is_name(text):
        raise ArgumentTypeError(
            f"{text!r} is not a name: use up to 32 of a-z, 0-9, _ and -, beginning with a letter or digit"
        )
    return text


def _group(text: str) -> str:
    return text if text == "all" else _name(text)


def _prefix(text: str) -> str:
    if len(_name(text)) > 26:
        raise ArgumentTypeError(f"{text!r} is too long: 26 characters at most, a number is added")
    return text


def _count(text: str) -> int:
    count = _positive(text)
    if count > MAX_SIMULATED:
        raise ArgumentTypeError(f"{text} is more than {MAX_SIMULATED}: start several, with another --prefix each")
    return count


def _positive(text: str) -> int:
    number = int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else 0
    if number == 0:
        raise ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return number


def _seconds(least: float, most: float) -> Callable[[str], Any]:
    def seconds(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not least <= value <= most:
            raise ArgumentTypeError(f"{text!r} is not a number of seconds from {least:g} to {most:g}")
        return value

    return seconds
