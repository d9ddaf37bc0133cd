"""The tokens file: who may view and who may operate, one line each, `role name token`.

A token stands there as `sha256:` and its digest in hexadecimal, or, for those who write the file by hand, as it is (16
characters or more). It is read at the start; a token that was taken out works until the agent is restarted.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import re
import secrets
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

from edge_agent.core.model import is_name
from edge_agent.durable import write_durably
from edge_agent.wire.values import counted

SHORTEST_TOKEN = 16
_DIGEST = re.compile(r"sha256:([0-9a-f]{64})", re.IGNORECASE)
_HEAD = """\
# Who may use the page and the API: role name token. Roles: viewer (see and download), operator (all).
# A token is sha256: and its digest (printf %s TOKEN | sha256sum), or the token itself, 16 characters or more.
# Read at the start: restart the agent after a change.
"""

log = logging.getLogger(__name__)


class Role(IntEnum):
    """What somebody may do; a higher one may all that a lower one may."""

    ANYONE = 0
    VIEWER = 1
    OPERATOR = 2


@dataclass(frozen=True, slots=True)
class Token:
    """One line of the file. `digest` is the SHA-256 of the token, too random to need salt."""

    role: Role
    name: str
    digest: bytes


class TokensUnusable(Exception):
    """The tokens file cannot be read, made or understood; the text names file, line and what would be right."""


class Tokens:
    """The known tokens."""

    def __init__(self, known: tuple[Token, ...]) -> None:
        self._known = known

    def find(self, token: str) -> Token | None:
        """Whose token this is. Takes as long for every one that is wrong, wherever it differs."""
        digest = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
        found = None
        for known in self._known:
            if hmac.compare_digest(known.digest, digest):
                found = known
        return found

    def named(self, name: str) -> Token | None:
        """The token of this name."""
        return next((known for known in self._known if known.name == name), None)


def read_tokens(path: Path) -> Tokens:
    """Read the file. Blocking. Raises `TokensUnusable`."""
    try:
        text = path.read_text(encoding="utf-8")
        mode = path.stat().st_mode
    except (OSError, UnicodeDecodeError) as error:
        raise TokensUnusable(f"{path}: cannot be read: {error}") from None
    if mode & 0o077:
        log.warning("tokens file is open to others: path=%s mode=%o remedy=chmod 600", path, mode & 0o777)
    known: list[Token] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip() and not line.lstrip().startswith("#"):
            known.append(_token(f"{path}:{number}", line.split()))
    if not known:
        raise TokensUnusable(f"{path}: holds no token; remove the file, and a new one is made at the start")
    if len({token.name for token in known}) != len(known):
        raise TokensUnusable(f"{path}: two tokens have the same name; give each its own")
    return Tokens(tuple(known))


def create_tokens(path: Path) -> str | None:
    """Make the file, for its owner only, with one new operator token, and return that; None if there is a file.

    The token is not kept anywhere: show it once. Blocking. Raises `TokensUnusable`.
    """
    token = secrets.token_urlsafe(24)
    content = f"{_HEAD}operator admin sha256:{hashlib.sha256(token.encode()).hexdigest()}\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return token if _write_new(path, content.encode()) else None
    except OSError as error:
        raise TokensUnusable(f"{path}: cannot be made: {error.strerror}") from None


def session_secret(path: Path) -> bytes:
    """The secret that login cookies are signed with; made at the first start, for its owner only.

    A lost one logs everybody out, nothing more. Blocking. Raises `TokensUnusable`.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _write_new(path, secrets.token_bytes(32))
        secret = path.read_bytes()
        if len(secret) < 32:  # torn by a power cut
            path.unlink()
            _write_new(path, secrets.token_bytes(32))
            secret = path.read_bytes()
    except OSError as error:
        raise TokensUnusable(f"{path}: cannot be read or made: {error.strerror}") from None
    return secret


def _write_new(path: Path, content: bytes) -> bool:
    """Make a file for its owner only, which a power cut leaves whole or not there; False when there is one."""
    if os.path.lexists(path):
        return False
    write_durably(path, content, 0o600)
    return True


def _token(where: str, words: list[str]) -> Token:
    form = "a line is: role name token, with role viewer or operator"
    if len(words) != 3:
        raise TokensUnusable(f"{where}: has {counted(len(words), 'word')}; {form}")
    role, name, token = words
    if role not in ("viewer", "operator"):
        raise TokensUnusable(f"{where}: the role is {role!r}; {form}")
    if not is_name(name):
        raise TokensUnusable(f"{where}: {name!r} is not a name; use lower-case letters, digits, _ and -")
    if match := _DIGEST.fullmatch(token):
        digest = bytes.fromhex(match[1])
    elif token.lower().startswith("sha256:"):
        raise TokensUnusable(f"{where}: the digest of {name} is not 64 hexadecimal digits")
    elif len(token) < SHORTEST_TOKEN:
        raise TokensUnusable(f"{where}: the token of {name} is shorter than {SHORTEST_TOKEN} characters")
    else:
        digest = hashlib.sha256(token.encode()).digest()
    return Token(Role[role.upper()], name, digest)
