"""The page: the files of `static/`, read once at the start and served from memory, compressed where that helps.

Those are kept compressed only: every browser takes them so, and for the rare other client they are expanded again.
"""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import ClassVar

from edge_agent.web.guard import Guard
from edge_agent.web.problem import Problem
from edge_agent.web.tokens import Role

STATIC = Path(__file__).with_name("static")
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".webmanifest": "application/manifest+json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".jpg": "image/jpeg",
    ".woff2": "font/woff2",
}
_COMPRESSED = frozenset({".html", ".css", ".js", ".json", ".svg", ".webmanifest"})


@dataclass(frozen=True, slots=True)
class Asset:
    """One file of the page. `kept` is its content, compressed where `gzipped`."""

    content_type: str
    kept: bytes
    gzipped: bool
    etag: str

    @property
    def content(self) -> bytes:
        """The file as it is on the disk."""
        return gzip.decompress(self.kept) if self.gzipped else self.kept


Assets = Mapping[str, Asset]


def read_assets(folder: Path = STATIC) -> Assets:
    """Every file below `folder` whose kind is known, by its path. Blocking."""
    return {
        path.relative_to(folder).as_posix(): _asset(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix in _TYPES
    }


def _asset(path: Path) -> Asset:
    content = path.read_bytes()
    gzipped = path.suffix in _COMPRESSED
    kept = gzip.compress(content, mtime=0) if gzipped else content
    return Asset(_TYPES[path.suffix], kept, gzipped, f'"{hashlib.sha256(content).hexdigest()[:16]}"')


class StaticFile(Guard):
    """`GET /static/{path}`."""

    needs: ClassVar[Mapping[str, Role]] = {"GET": Role.VIEWER}

    def initialize(self, assets: Assets) -> None:
        self._assets = assets

    def get(self, path: str) -> None:
        asset = self._assets.get(path)
        if asset is None:
            raise Problem(HTTPStatus.NOT_FOUND, "the page has no such file")
        self.set_header("Content-Type", asset.content_type)
        self.set_header("Cache-Control", "private, no-cache")
        self.set_header("ETag", asset.etag)
        self.add_header("Vary", "Accept-Encoding")
        if asset.etag in self.request.headers.get("If-None-Match", ""):
            self.set_status(HTTPStatus.NOT_MODIFIED)
            return
        if asset.gzipped and "gzip" in self.request.headers.get("Accept-Encoding", ""):
            self.set_header("Content-Encoding", "gzip")
            self.finish(asset.kept)
        else:
            self.finish(asset.content)


class Index(StaticFile):
    """`GET /`: the page itself."""

    def get(self, path: str = "index.html") -> None:
        super().get(path)
