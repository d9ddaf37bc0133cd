"""Where the configuration comes from: the search for a file, TOML, the environment, the machine; and its errors.

Knows the keys only through the table that the caller hands in, and no pydantic.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_agent.config.keys import ANY_INDEX, Key, Loc, index_of, matches
from edge_agent.core.model import is_name

FILE_NAME = "edge-agent.toml"
FILE_VARIABLE = "EDGE_AGENT_CONFIG"
PREFIX = "EDGE_AGENT__"
SYSTEM_FILE = Path("/etc/edge-agent") / FILE_NAME

MAX_FILE_BYTES = 1_048_576
"""A configuration is a few kilobytes; more is a wrong path, such as a recording or a device."""
SHOWN_CHARACTERS = 60
"""How much of a wrong value an error repeats."""
SECRETS = frozenset({"password", "secret_key"})
"""Last parts of the keys whose value no error may repeat."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing wrong: in which file or variable, at which key, with which value (None: not told), what is right."""

    where: str
    key: str
    value: str | None
    right: str

    def __str__(self) -> str:
        subject = self.key if self.value is None else f"{self.key} = {self.value}"
        return f"{self.where}: {subject}: {self.right}" if subject else f"{self.where}: {self.right}"


class ConfigError(Exception):
    """The configuration can't be used; `findings` is everything that is wrong with it, secrets left out."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        super().__init__("\n".join(str(finding) for finding in findings))
        self.findings = tuple(findings)


def find_file(path: Path | None, environ: Mapping[str, str]) -> Path | None:
    """The configuration file: `path`, else by variable, working directory, /etc; None: there is none.

    One that was asked for need not exist here: reading it says so. A place that may not be looked into is an error,
    so that missing rights never make an agent run on defaults. Blocking.
    """
    if path is not None:
        return path
    if named := environ.get(FILE_VARIABLE):
        return Path(named)
    for place in (Path.cwd() / FILE_NAME, SYSTEM_FILE):
        try:
            place.lstat()
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise ConfigError([Finding(str(place), "", None, f"cannot be looked up: {error.strerror}")]) from error
        return place
    return None


def read_toml(path: Path) -> dict[str, Any]:
    """The document in a file. Raises `ConfigError` when it can't be read or is no TOML. Blocking."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise ConfigError([Finding(str(path), "", None, "is not a regular file")])
        with path.open("rb") as file:
            raw = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigError([Finding(str(path), "", None, f"cannot be read: {error.strerror}")]) from error
    if len(raw) > MAX_FILE_BYTES:
        raise ConfigError([Finding(str(path), "", None, f"is larger than {MAX_FILE_BYTES} bytes")])
    try:
        return tomllib.loads(raw.decode("utf-8"))
    except RecursionError as error:
        raise ConfigError([Finding(str(path), "", None, "is nested too deeply")]) from error
    except ValueError as error:  # TOMLDecodeError, UnicodeDecodeError, and int() on thousands of digits
        raise ConfigError([Finding(str(path), "", None, f"is not valid TOML in UTF-8: {error}")]) from error


class Overlay:
    """The variables of the environment laid over a file's document, and what is wrong with either.

    `document` is a copy with the values put in, directories of this environment included where none are configured.
    `findings` is what was wrong so far. An empty variable counts as not set.
    """

    def __init__(
        self, document: dict[str, Any], environ: Mapping[str, str], keys: Iterable[Key], source: Path | None
    ) -> None:
        self.document: dict[str, Any] = json.loads(json.dumps(document, default=str))
        self.findings: list[Finding] = []
        self._source = source
        self._origins: dict[Loc, str] = {}
        self._keys = {key.path: key for key in keys}
        variables = sorted((name for name in environ if name.startswith(PREFIX)), key=_order)
        if any(name.startswith(f"{PREFIX}CAMERAS__") for name in variables):
            self.document.setdefault("cameras", [{}, {}])
        for variable in variables:
            self._lay(variable, environ[variable])
        self._look_for_single_underscores(environ)
        for section, key, folder in (("device", "state_dir", "state"), ("recording", "root", "recordings")):
            if isinstance(table := self.document.setdefault(section, {}), dict):
                table.setdefault(key, str(default_data_dir(environ) / folder))

    @property
    def variables(self) -> tuple[str, ...]:
        """The variables that took part."""
        return tuple(sorted(self._origins.values()))

    def explain(self, details: Iterable[Mapping[str, Any]]) -> None:
        """Add what pydantic found wrong (its `ValidationError.errors()`), in words that say what would be right."""
        details = list(details)
        for detail in details:
            loc: Loc = detail["loc"]
            kind = detail["type"]
            inside = any(other["loc"][: len(loc)] == loc for other in details if other is not detail)
            if kind == "too_short" and inside:
                continue  # wrong entries were not counted
            if kind == "extra_forbidden":
                siblings = [path[-1] for path in self._heads(len(loc)) if all(map(matches, path[:-1], map(str, loc)))]
                meant = suggestion(str(loc[-1]), siblings) or f"; there are {', '.join(dict.fromkeys(siblings))}"
                right, value = f"no such key{meant}", None
            else:
                right, value = _right(kind, detail), shown(loc, detail["input"])
            self.findings.append(Finding(self._where(loc), _written(loc), value, right))

    def secret(self, loc: Loc, path: Path) -> str:
        """The one line in the secret's file that the key at `loc` names. Raises `ConfigError`. Blocking."""
        try:
            return _read_line(path)
        except OSError as error:
            right = f"cannot be read: {error.strerror}"
        except ValueError as error:
            right = str(error)
        raise ConfigError([Finding(self._where(loc), _written(loc), str(path), right)])

    def _lay(self, variable: str, value: str) -> None:
        parts = variable[len(PREFIX) :].lower().split("__")
        pattern = self._pattern(parts)
        if pattern is None:
            self._refuse(variable, f"no such setting{self._suggest(variable)}")
        elif value == "":
            return
        elif not _is_utf8(value):
            self._refuse(variable, "must be UTF-8")
        else:
            key = self._keys.get(pattern)
            self._put(variable, parts, pattern, value if key is not None and key.text else _from_json(value))

    def _pattern(self, parts: list[str]) -> tuple[str, ...] | None:
        """The path in the table that these parts name: a key, or a section or list as a whole."""
        return next((head for head in self._heads(len(parts)) if all(map(matches, head, parts))), None)

    def _heads(self, length: int) -> list[tuple[str, ...]]:
        return [path[:length] for path in self._keys if len(path) >= length]

    def _put(self, variable: str, parts: list[str], pattern: tuple[str, ...], value: Any) -> None:
        """Set the value at `parts`, making the tables and lists on the way there."""
        holder: Any = self.document
        loc: Loc = ()
        for position, part in enumerate(parts):
            last = position == len(parts) - 1
            inside: Any = value if last else [] if pattern[position + 1] == ANY_INDEX else {}
            if isinstance(holder, list):
                index = index_of(part)
                if index is None or index > len(holder):
                    self._refuse(variable, f"the number may be 0 to {len(holder)} here")
                    return
                holder[index : index + 1] = [inside if last or index == len(holder) else holder[index]]
                step: str | int = index
            elif isinstance(holder, dict):
                holder[part] = inside if last else holder.get(part, inside)
                step = part
            else:
                self._refuse(variable, "lies inside something that has a single value elsewhere in the configuration")
                return
            loc, holder = (*loc, step), holder[step]
        self._origins[loc] = variable

    def _look_for_single_underscores(self, environ: Mapping[str, str]) -> None:
        """Refuse `EDGE_AGENT_MQTT_HOST`, which would be a setting that nobody reads."""
        meant = {_letters(known): known for known in self._known()}
        stem = PREFIX.removesuffix("_")
        for variable in sorted(name for name in environ if name.startswith(stem) and not name.startswith(PREFIX)):
            if known := meant.get(_letters(variable.removeprefix(stem))):
                self._refuse(variable, f"no such setting; did you mean {PREFIX}{known}?")

    def _refuse(self, variable: str, right: str) -> None:
        self.findings.append(Finding(variable, "", None, right))

    def _suggest(self, variable: str) -> str:
        """The variable that is close to this one, compared without the beginning that all share."""
        return suggestion(variable[len(PREFIX) :].upper(), self._known(), PREFIX)

    def _known(self) -> list[str]:
        """All variables, without the beginning that they share."""
        return ["__".join(path).upper().replace(ANY_INDEX, "0") for path in self._keys]

    def _where(self, loc: Loc) -> str:
        """The variable that the value at `loc` came from, else the file."""
        for length in range(len(loc), 0, -1):
            if variable := self._origins.get(loc[:length]):
                return variable
        inside = [variable for at, variable in self._origins.items() if at[: len(loc)] == loc]
        sources = [str(self._source)] if self._source is not None else []
        return ", ".join(sources + inside) or "configuration"


_RIGHT = {
    "missing": "is missing",
    "string_type": "must be text in quotes",
    "path_type": "must be a path in quotes",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
    "bool_type": "must be true or false",
    "tuple_type": "must be a list in brackets",
    "dict_type": "must be a table",
    "model_type": "must be a table",
    "model_attributes_type": "must be a table",
    "literal_error": "must be {expected}",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "multiple_of": "must be a multiple of {multiple_of}",
    "string_too_short": "must have at least {min_length} character",
    "string_too_long": "must have at most {max_length} characters",
    "too_short": "must have at least {min_length} entry",
    "too_long": "must have at most {max_length} entries",
    "value_error": "{error}",
}
"""What would be right, by pydantic's error type."""


def _right(kind: str, detail: Mapping[str, Any]) -> str:
    if kind == "tuple_type" and isinstance(detail["input"], dict):
        return f"must be a list: write [[{_written(detail['loc'])}]] for each entry"
    template = _RIGHT.get(kind)
    return str(detail["msg"]) if template is None else template.format_map(detail.get("ctx", {}))


def _written(loc: Loc) -> str:
    """The key at `loc` as people write it."""
    text = ".".join(f"[{part}]" if isinstance(part, int) else part for part in loc if part != "[key]")
    return text.replace(".[", "[")


def suggestion(word: str, known: Iterable[str], prefix: str = "") -> str:
    """`; did you mean ...?` with the known word that is close to `word`, or nothing."""
    import difflib  # noqa: PLC0415 - only wrong configurations need it, and the agent would keep it loaded

    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.75)
    return f"; did you mean {prefix}{close[0]}?" if close else ""


def shown(loc: Loc, value: Any) -> str | None:
    """A wrong value as an error may repeat it: short, no secret, no user:password of a URL. None: not at all."""
    if isinstance(value, dict) or any(part in SECRETS for part in loc):
        return None
    text = re.sub(r"//[^/@\s]*@", "//***@", repr(value) if not isinstance(value, str) else json.dumps(value))
    return text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + "..."


def _read_line(path: Path) -> str:
    if not stat.S_ISREG(path.stat().st_mode):
        raise ValueError("is not a regular file")
    with path.open("rb") as file:
        raw = file.read(MAX_FILE_BYTES)
    text = raw.decode("utf-8").rstrip("\r\n")
    if not text or "\n" in text:
        raise ValueError("must hold one line of text")
    return text


def default_data_dir(environ: Mapping[str, str]) -> Path:
    """Where recordings and state go unless configured.

    systemd's state directory, else /var/lib/edge-agent for root, else `edge-agent` in the user's data directory.
    """
    if directories := environ.get("STATE_DIRECTORY"):
        return Path(directories.split(":", maxsplit=1)[0])
    home = environ.get("HOME", "")
    if os.geteuid() == 0 or not home.startswith("/"):
        return Path("/var/lib/edge-agent")
    data_home = environ.get("XDG_DATA_HOME", "")
    return (Path(data_home) if data_home.startswith("/") else Path(home, ".local/share")) / "edge-agent"


_SERIAL_FILES = (
    "/sys/firmware/devicetree/base/serial-number",
    "/etc/machine-id",
    "/var/lib/dbus/machine-id",
)
_SHARED_HOST_NAMES = frozenset({"raspberrypi", "localhost", "debian", "ubuntu", "raspbian", "pi"})
"""Names that images come with: two devices with one name would share their topics."""


def machine_mark(files: Iterable[str] = _SERIAL_FILES) -> str | None:
    """Six hexadecimal digits that differ between machines and stay; None where the machine has no identity.

    A hash, because /etc/machine-id is not for publishing (machine-id(5)). Blocking.
    """
    for name in files:
        try:
            text = Path(name).read_bytes().strip(b"\0\n ")
        except OSError:
            continue
        if text and text != b"uninitialized":  # what systemd images hold before their first boot
            return hashlib.sha256(b"edge-agent " + text).hexdigest()[:6]
    return None


def device_id_of(host_name: str, mark: str | None) -> str:
    """A valid device id: the host name, with the machine's mark where many machines share it or it gives none."""
    name = re.sub(r"[^a-z0-9_-]+", "-", host_name.split(".", maxsplit=1)[0].lower()).lstrip("-_")[:32].rstrip("-_")
    if is_name(name) and name not in _SHARED_HOST_NAMES:
        return name
    base = name if is_name(name) else "edge"
    return f"{base}-{mark or 'agent'}"


def _order(variable: str) -> list[tuple[int, str]]:
    """Sorts wholes before their parts and indexes by number."""
    return [(index_of(part) or 0, part) for part in variable.split("__")]


def _letters(variable: str) -> str:
    return variable.replace("_", "").upper()


def _is_utf8(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _from_json(value: str) -> Any:
    """The JSON value, and the plain text where it is none: the model then says what would be right."""
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value
