"""Who somebody is: bearer token, Basic password or login cookie, and how often a wrong one may be tried.

Decides nothing about routes; `guard.py` asks here and compares with what the route needs.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import ipaddress
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

from edge_agent.core.model import Now
from edge_agent.web.tokens import Role, Token, Tokens

SESSION_S = 30 * 24 * 3600
"""How long a login lasts: a dashboard on a wall shall not ask every week."""
MAX_ENDED = 1000
"""Logins that were ended by hand and are remembered; only somebody who is logged in can end one."""
FREE_FAILURES = 5
"""Failures within a minute that are answered at once; a person who mistypes has some."""
LOCK_FAILURES = 20
LOCK_WINDOW_S = 3600.0
LOCK_S = 900.0
MAX_DELAY_S = 4.0
REMEMBERED = 1024
"""Addresses kept in mind at a time; more would be an attack on memory."""


class Via(Enum):
    """How somebody showed who they are. What comes by cookie may be sent by another site's page."""

    ANONYMOUS = "anonymous"
    HEADER = "header"
    COOKIE = "cookie"


@dataclass(frozen=True, slots=True)
class Identity:
    """Somebody who may come in. `session` is the cookie's value where there is one."""

    name: str
    role: Role
    via: Via
    session: str = ""


NOBODY = Identity("", Role.ANYONE, Via.ANONYMOUS)


@dataclass(frozen=True, slots=True)
class Wrong:
    """A token that nobody has: answer after `delay_s`; or not at all looked at, for `locked_s` seconds still."""

    delay_s: float = 0.0
    locked_s: float = 0.0


class Access:
    """Everybody who may come in. `tokens` None lets all in as operators. `secret` signs login cookies."""

    def __init__(self, tokens: Tokens | None, secret: bytes, clock: Callable[[], Now]) -> None:
        self._tokens = tokens
        self._secret = secret
        self._clock = clock
        self._brake = Brake()
        self._ended: dict[str, None] = {}

    @property
    def anonymous(self) -> bool:
        """Whether no credentials are asked for."""
        return self._tokens is None

    def by_token(self, token: str, address: str) -> Identity | Wrong:
        """Who this token makes of somebody at `address`.

        While an address is locked for its failures, only who came in from there before still does.
        """
        if self._tokens is None:
            return Identity("anonymous", Role.OPERATOR, Via.ANONYMOUS)
        now_s = self._clock().mono_s
        found = self._tokens.find(token)
        locked_s = self._brake.locked_s(address, now_s)
        if locked_s > 0 and not (found and self._brake.knows(address, found.name)):
            return Wrong(locked_s=locked_s)
        if found is None:
            return Wrong(delay_s=self._brake.failed(address, now_s))
        self._brake.succeeded(address, found.name)
        return Identity(found.name, found.role, Via.HEADER)

    def by_header(self, authorization: str, address: str) -> Identity | Wrong:
        """Who `Authorization: Bearer TOKEN` or `Basic` with the token as password makes of somebody."""
        return self.by_token(token_of(authorization), address)

    def by_cookie(self, session: str) -> Identity | None:
        """Who is logged in with this cookie; None if it is not ours, too old, or its token was taken out."""
        name, _, rest = session.partition(".")
        expires, _, signature = rest.partition(".")
        token = self._tokens.named(name) if self._tokens else None
        if token is None or not (expires.isascii() and expires.isdigit() and len(expires) <= 12):
            return None
        if not hmac.compare_digest(self._signature(token, expires).encode(), signature.encode("utf-8", "replace")):
            return None
        if self._clock().wall.timestamp() >= int(expires) or session in self._ended:
            return None
        return Identity(name, token.role, Via.COOKIE, session)

    def end_session(self, session: str) -> None:
        """Make this login cookie worth nothing, until the agent starts again."""
        self._ended[session] = None
        while len(self._ended) > MAX_ENDED:
            self._ended.pop(next(iter(self._ended)))

    def new_session(self, identity: Identity) -> str:
        """The login cookie of somebody who came by token."""
        token = self._tokens.named(identity.name) if self._tokens else None
        if token is None:
            return ""
        expires = int(self._clock().wall.timestamp()) + SESSION_S
        while (session := f"{token.name}.{expires}.{self._signature(token, str(expires))}") in self._ended:
            expires -= 1  # who logs out and in within a second shall not get the cookie that was ended
        return session

    def xsrf_token(self, session: str) -> str:
        """What writes by this cookie have to repeat in a header, which another site's page cannot."""
        return self._mac("xsrf", session)

    def is_xsrf_token(self, session: str, sent: str) -> bool:
        """Whether this is the XSRF token of this cookie."""
        return hmac.compare_digest(self.xsrf_token(session).encode(), sent.encode("utf-8", "replace"))

    def _signature(self, token: Token, expires: str) -> str:
        return self._mac("session", token.name, expires, token.digest.hex(), str(int(token.role)))

    def _mac(self, *parts: str) -> str:
        return hmac.new(self._secret, "\n".join(parts).encode("utf-8", "replace"), hashlib.sha256).hexdigest()


def token_of(authorization: str) -> str:
    """The token in an `Authorization` header; empty, which nobody has, where there is none."""
    scheme, _, value = authorization.partition(" ")
    value = value.strip()
    if scheme.lower() == "bearer":
        return value
    if scheme.lower() != "basic":
        return ""
    try:
        pair = base64.b64decode(value, validate=True).decode("utf-8")
    except (binascii.Error, ValueError):
        return ""
    return pair.partition(":")[2]


@dataclass(slots=True)
class _Record:
    failures: deque[float] = field(default_factory=lambda: deque(maxlen=LOCK_FAILURES))
    locked_until_s: float = 0.0
    known: set[str] = field(default_factory=set)


class Brake:
    """Failures by address: the first few are free, then each costs the sender more time, then it is locked out.

    Instants are monotonic seconds. A /64 counts as one address: whoever has one has all of it.
    """

    def __init__(self) -> None:
        self._records: OrderedDict[str, _Record] = OrderedDict()

    def failed(self, address: str, now_s: float) -> float:
        """Note a failure; how many seconds to wait before it is answered."""
        record = self._record(address)
        record.failures.append(now_s)
        if len(record.failures) == LOCK_FAILURES and now_s - record.failures[0] < LOCK_WINDOW_S:
            record.locked_until_s = now_s + LOCK_S
            record.failures.clear()
        recent = sum(1 for at_s in record.failures if now_s - at_s < 60)
        return float(min(MAX_DELAY_S, 2.0 ** (recent - FREE_FAILURES - 1))) if recent > FREE_FAILURES else 0.0

    def succeeded(self, address: str, name: str) -> None:
        """Note that somebody came in from here."""
        self._record(address).known.add(name)

    def locked_s(self, address: str, now_s: float) -> float:
        """For how many seconds the address is locked, 0 if it is not."""
        record = self._records.get(_network(address))
        return max(0.0, record.locked_until_s - now_s) if record else 0.0

    def knows(self, address: str, name: str) -> bool:
        """Whether this name came in from here before."""
        record = self._records.get(_network(address))
        return record is not None and name in record.known

    def _record(self, address: str) -> _Record:
        record = self._records.setdefault(_network(address), _Record())
        self._records.move_to_end(_network(address))
        while len(self._records) > REMEMBERED:
            self._records.popitem(last=False)
        return record


def _network(address: str) -> str:
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is None:
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)
