"""The archive over HTTP: pages of recordings, files with ranges, deletion, and clips as they are made."""

from __future__ import annotations

import asyncio
import logging
import os
import re
from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from http import HTTPStatus
from typing import Any, ClassVar
from urllib.parse import quote

from tornado.iostream import StreamClosedError

from edge_agent.core.commands import Refusal
from edge_agent.core.model import Code, Segment, is_label, is_name
from edge_agent.core.segments import is_archive_path, is_extra_path, parse_segment_path
from edge_agent.web.guard import Guard
from edge_agent.web.ports import Wanted
from edge_agent.web.problem import Problem, bad_request, refused
from edge_agent.web.tokens import Role
from edge_agent.wire.values import BadValue, format_instant_ms, parse_instant, parse_switch

CHUNK_BYTES = 256 * 1024
PROGRESS_S = 60.0
"""How long a client may take for one chunk before its download is given up; a retry goes on by Range."""
PAGE_LIMIT, MAX_PAGE_LIMIT = 100, 1000
log = logging.getLogger(__name__)

_TYPES = {".mp4": "video/mp4", ".jpg": "image/jpeg"}
_RANGE = re.compile(r"bytes=\s*([0-9]{0,40})\s*-\s*([0-9]{0,40})\s*", re.ASCII | re.IGNORECASE)


class RecordingsPage(Guard):
    """`GET /api/recordings`: newest first, with filters, page by page."""

    needs: ClassVar[Mapping[str, Role]] = {"GET": Role.VIEWER}
    known = frozenset({"camera", "mode", "from", "to", "locked", "label", "limit", "cursor"})

    async def get(self) -> None:
        unknown = sorted(set(self.request.query_arguments) - self.known)
        if unknown:
            raise bad_request(f"there is no filter {unknown[0][:40]!r}; there are {', '.join(sorted(self.known))}")
        page = await self.house.recordings.page(self._wanted(), self._limit(), self._one("cursor"))
        if isinstance(page, Refusal):
            raise refused(page)
        self.send_json(
            {
                "v": 1,
                "recordings": [recording_document(segment) for segment in page.segments],
                "next_cursor": page.next_cursor,
            }
        )

    def _wanted(self) -> Wanted:
        camera, mode, label, locked = (self._one(key) for key in ("camera", "mode", "label", "locked"))
        if camera is not None and not is_name(camera):
            raise bad_request(f"camera {camera[:40]!r} is not a name", Code.UNKNOWN_CAMERA)
        if mode is not None and not is_name(mode):
            raise bad_request(f"mode {mode[:40]!r} is not a name", Code.UNKNOWN_MODE)
        if label is not None and not (label == "" or is_label(label)):
            raise bad_request(f"label {label[:40]!r} is not a label")
        start, end = instants(self._one("from"), self._one("to"))
        try:
            wanted_locked = None if locked is None else parse_switch(locked)
        except BadValue as error:
            raise bad_request(f"locked: {error}") from None
        return Wanted(camera=camera, mode=mode, start=start, end=end, locked=wanted_locked, label=label)

    def _limit(self) -> int:
        text = self._one("limit")
        if text is None:
            return PAGE_LIMIT
        if not (text.isascii() and text.isdigit() and len(text) <= 6 and 1 <= int(text) <= MAX_PAGE_LIMIT):
            raise bad_request(f"limit {text[:40]!r} is not a number from 1 to {MAX_PAGE_LIMIT}", Code.OUT_OF_RANGE)
        return int(text)

    def _one(self, key: str) -> str | None:
        return self.get_query_argument(key, None)


def recording_document(segment: Segment) -> dict[str, Any]:
    """One recording in a page: what is known of it, and where it and its thumbnail are."""
    name = parse_segment_path(segment.path)
    return {
        "path": segment.path,
        "url": f"/recordings/{quote(segment.path)}",
        "thumbnail_url": f"/recordings/{quote(segment.path.removesuffix('.mp4'))}.jpg" if name else None,
        "camera": segment.camera,
        "mode": segment.mode,
        "run_id": segment.run_id,
        "started_at": format_instant_ms(segment.started_at),
        "duration_s": round(segment.duration_s, 3),
        "size_bytes": segment.size_bytes,
        "width": segment.width,
        "height": segment.height,
        "label": segment.label,
        "locked": segment.locked,
        "lock_label": segment.lock_labels[0] if segment.locked else None,
        "lock_labels": list(segment.lock_labels),
        "uploaded": segment.uploaded,
    }


def instants(start: str | None, end: str | None) -> tuple[datetime | None, datetime | None]:
    """The window that `from` and `to` name. Raises `Problem`."""
    found: list[datetime | None] = []
    for key, text in (("from", start), ("to", end)):
        try:
            found.append(None if text is None else parse_instant(float(text) if _is_number(text) else text))
        except BadValue as error:
            raise bad_request(f"{key}: {error}", error.code) from None
    if found[0] is not None and found[1] is not None and found[1] <= found[0]:
        raise bad_request("to is not later than from", Code.OUT_OF_RANGE)
    return found[0], found[1]


def _is_number(text: str) -> bool:
    return re.fullmatch(r"[0-9]{1,14}(\.[0-9]{1,6})?", text, re.ASCII) is not None


class DeleteRecording(Guard):
    """`DELETE /api/recordings/{path}`."""

    needs: ClassVar[Mapping[str, Role]] = {"DELETE": Role.OPERATOR}

    async def delete(self, path: str) -> None:
        if parse_segment_path(path) is None and not is_extra_path(path):
            raise Problem(HTTPStatus.NOT_FOUND, "there is no such recording")
        refusal = await self.house.recordings.delete(path)
        if refusal is not None:
            raise (
                Problem(HTTPStatus.CONFLICT, refusal.message, refusal.code)
                if (refusal.code is Code.FORBIDDEN)
                else refused(refusal)
            )
        self.set_status(HTTPStatus.NO_CONTENT)


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes `start` up to, not including, `end`."""

    start: int
    end: int


class RecordingFile(Guard):
    """`GET /recordings/{path}`: a segment, a thumbnail, a snapshot or a clip; with `?download` as an attachment."""

    needs: ClassVar[Mapping[str, Role]] = {"GET": Role.VIEWER}

    async def get(self, path: str) -> None:
        if not is_archive_path(path):
            raise Problem(HTTPStatus.NOT_FOUND, "there is no such recording")
        descriptor = await self.house.recordings.open(path)
        if isinstance(descriptor, Refusal):
            raise refused(descriptor)
        try:
            await self._serve(path, descriptor)
        finally:
            os.close(descriptor)

    async def _serve(self, path: str, descriptor: int) -> None:
        info = os.fstat(descriptor)
        name = path.rpartition("/")[2]
        etag = f'"{info.st_mtime_ns:x}-{info.st_size:x}"'
        modified = format_datetime(datetime.fromtimestamp(info.st_mtime, UTC), usegmt=True)
        self.set_header("Content-Type", _TYPES[path[-4:]])
        self.set_header("Accept-Ranges", "bytes")
        self.set_header("ETag", etag)
        self.set_header("Last-Modified", modified)
        self.set_header("Cache-Control", "private, no-cache")
        if "download" in self.request.query_arguments:
            self.set_header("Content-Disposition", f'attachment; filename="{name}"')
        if self._has_it(etag, modified):
            self.set_status(HTTPStatus.NOT_MODIFIED)
            return
        span = self._span(info.st_size, etag, modified)
        self.set_header("Content-Length", str(span.end - span.start))
        if self.request.method == "HEAD":
            self.finish()
            return
        await self._send(descriptor, span)

    def _has_it(self, etag: str, modified: str) -> bool:
        known = self.request.headers.get("If-None-Match")
        if known is None:
            return self.request.headers.get("If-Modified-Since") == modified
        return etag in (part.strip().removeprefix("W/") for part in known.split(",")) or known.strip() == "*"

    def _span(self, size: int, etag: str, modified: str) -> Span:
        """Which bytes are asked for; sets the status. Raises `Problem` for a range that there is not."""
        text = self.request.headers.get("Range")
        condition = self.request.headers.get("If-Range")
        if text is None or text[:6].lower() != "bytes=" or condition not in (None, etag, modified):
            return Span(0, size)
        span = read_range(text, size)
        if span is None:
            raise Problem(
                HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
                f"the file has {size} bytes; ask for one range inside, such as bytes=0-",
                headers={"Content-Range": f"bytes */{size}"},
            )
        self.set_status(HTTPStatus.PARTIAL_CONTENT)
        self.set_header("Content-Range", f"bytes {span.start}-{span.end - 1}/{size}")
        return span

    async def _send(self, descriptor: int, span: Span) -> None:
        at = span.start
        while at < span.end:
            chunk = await asyncio.to_thread(os.pread, descriptor, min(CHUNK_BYTES, span.end - at), at)
            if not chunk:  # shorter than when it was opened: end so that nobody takes the rest for all
                hang_up(self)
                return
            at += len(chunk)
            self.write(chunk)
            if not await flushed(self):
                return


def read_range(text: str, size: int) -> Span | None:
    """The one range that a `Range: bytes=` header asks for; None if it has several, makes no sense or lies outside."""
    match = _RANGE.fullmatch(text)
    if match is None:
        return None
    first, last = match[1], match[2]
    if first:
        start = int(first)
        end = min(size, int(last) + 1) if last else size
    elif last:
        start, end = max(0, size - int(last)), size
    else:
        return None
    return Span(start, end) if start < end else None


async def flushed(handler: Guard) -> bool:
    """Send what was written; False, and the connection is closed, if the client takes none of it for a long time."""
    try:
        async with asyncio.timeout(PROGRESS_S):
            await handler.flush()
    except StreamClosedError:
        return False
    except TimeoutError:
        hang_up(handler)
        return False
    return True


def hang_up(handler: Guard) -> None:
    """End the connection in the midst of an answer, so that its receiver knows that it is not whole."""
    stream = handler.detach()
    stream.close()


class Clip(Guard):
    """`GET /api/clip?camera=&from=&to=`: one mp4 over segment borders, sent as it is made."""

    needs: ClassVar[Mapping[str, Role]] = {"GET": Role.VIEWER}

    async def get(self) -> None:
        camera = self.get_query_argument("camera", "")
        if not is_name(camera):
            code = Code.UNKNOWN_CAMERA if camera else Code.MALFORMED
            raise bad_request(f"camera {camera[:40]!r} is not a name; send camera, from and to", code)
        start, end = instants(self.get_query_argument("from", None), self.get_query_argument("to", None))
        if start is None or end is None:
            raise bad_request("a clip needs from and to; send both as ISO 8601 with Z")
        pieces = await self.house.recordings.clip(camera, start, end)
        if isinstance(pieces, Refusal):
            raise refused(pieces)
        async with aclosing(pieces):
            self._head(camera, start)
            if self.request.method == "HEAD":
                return
            begun = False
            try:
                async for piece in pieces:
                    self.write(piece)
                    begun = True
                    if not await flushed(self):
                        return
            except OSError as error:
                log.warning("clip broke off: camera=%s error=%s", camera, error)
                if not begun:
                    told = f"the clip cannot be cut now ({error.strerror or error}): try again later"
                    raise refused(Refusal(Code.INTERNAL, told)) from error
                hang_up(self)

    def _head(self, camera: str, start: datetime) -> None:
        name = f"clip_{camera}_{start:%Y%m%dT%H%M%SZ}.mp4"
        self.set_header("Content-Type", "video/mp4")
        self.set_header("Content-Disposition", f'attachment; filename="{name}"')
