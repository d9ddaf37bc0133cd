"""Refusals over HTTP: which status a code of the contract has, and the problem document (RFC 9457)."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from tornado.web import HTTPError

from edge_agent.core.commands import Refusal
from edge_agent.core.model import Code

CONTENT_TYPE = "application/problem+json"

STATUS_OF: dict[Code, HTTPStatus] = {
    Code.OK: HTTPStatus.OK,
    Code.ALREADY_RECORDING: HTTPStatus.CONFLICT,
    Code.RETAINED: HTTPStatus.BAD_REQUEST,
    Code.EXPIRED: HTTPStatus.GONE,
    Code.MALFORMED: HTTPStatus.BAD_REQUEST,
    Code.TOO_LARGE: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    Code.UNKNOWN_VERB: HTTPStatus.NOT_FOUND,
    Code.UNKNOWN_MODE: HTTPStatus.UNPROCESSABLE_ENTITY,
    Code.UNKNOWN_CAMERA: HTTPStatus.UNPROCESSABLE_ENTITY,
    Code.OUT_OF_RANGE: HTTPStatus.UNPROCESSABLE_ENTITY,
    Code.RATE_LIMITED: HTTPStatus.TOO_MANY_REQUESTS,
    Code.CAMERA_MISSING: HTTPStatus.SERVICE_UNAVAILABLE,
    Code.CAMERA_BUSY: HTTPStatus.SERVICE_UNAVAILABLE,
    Code.NO_FRAMES: HTTPStatus.SERVICE_UNAVAILABLE,
    Code.DISK_FULL: HTTPStatus.INSUFFICIENT_STORAGE,
    Code.READ_ONLY: HTTPStatus.SERVICE_UNAVAILABLE,
    Code.LOCK_QUOTA: HTTPStatus.CONFLICT,
    Code.NOT_FOUND: HTTPStatus.NOT_FOUND,
    Code.PARTIAL: HTTPStatus.SERVICE_UNAVAILABLE,
    Code.TIMEOUT: HTTPStatus.GATEWAY_TIMEOUT,
    Code.INTERRUPTED: HTTPStatus.SERVICE_UNAVAILABLE,
    Code.FORBIDDEN: HTTPStatus.FORBIDDEN,
    Code.INTERNAL: HTTPStatus.INTERNAL_SERVER_ERROR,
}
"""The status of a command's answer, and of a refusal where nothing more precise is known."""

_CODE_OF: dict[int, Code] = {
    HTTPStatus.UNAUTHORIZED: Code.FORBIDDEN,
    HTTPStatus.FORBIDDEN: Code.FORBIDDEN,
    HTTPStatus.NOT_FOUND: Code.NOT_FOUND,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: Code.TOO_LARGE,
    HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE: Code.OUT_OF_RANGE,
    HTTPStatus.TOO_MANY_REQUESTS: Code.RATE_LIMITED,
    HTTPStatus.SERVICE_UNAVAILABLE: Code.RATE_LIMITED,
}


class Problem(HTTPError):
    """An answer other than success, raised in a handler; `Guard.write_error` makes the document of it."""

    def __init__(
        self, status: HTTPStatus, detail: str, code: Code | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(status, reason=status.phrase)
        self.detail = detail
        self.code = code or code_of(status)
        self.headers = dict(headers or {})


def bad_request(detail: str, code: Code = Code.MALFORMED) -> Problem:
    """The problem that a request is which makes no sense, or asks for what there is not."""
    return Problem(HTTPStatus.BAD_REQUEST, detail, code)


def refused(refusal: Refusal) -> Problem:
    """The problem that a refusal of another room is to a browser."""
    return Problem(STATUS_OF[refusal.code], refusal.message, refusal.code)


def code_of(status: int) -> Code:
    """The contract's word for a status that Tornado or a handler chose."""
    return _CODE_OF.get(status, Code.INTERNAL if status >= HTTPStatus.INTERNAL_SERVER_ERROR else Code.MALFORMED)


def problem_document(status: int, code: Code, detail: str) -> dict[str, Any]:
    """The document of a problem; `title` is the status in words, `detail` says what to do."""
    title = HTTPStatus(status).phrase if status in set(HTTPStatus) else "Error"
    return {"v": 1, "type": "about:blank", "title": title, "status": int(status), "detail": detail, "code": code}
