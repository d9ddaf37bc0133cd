from __future__ import annotations

from pathlib import Path

from tests.fakes.web import segment, serving
from tests.web.test_openapi import fits


async def test_a_segment_is_told_to_be_sound_or_what_is_wrong_with_it(tmp_path: Path) -> None:
    async with serving(tmp_path) as site:
        sound, empty = site.recordings.store(15, b"content").path, site.recordings.store(16, b"").path
        told = await site.fetch(f"/api/verify/{sound}")
        assert fits(told, "/api/verify/{path}")
        code, found = await site.document(f"/api/verify/{sound}")
        assert (code, found["path"], found["damage"], found["size_bytes"]) == (200, sound, None, 7)
        assert (await site.document(f"/api/verify/{empty}"))[1]["damage"] == "is empty"


async def test_only_segments_of_the_archive_are_looked_at(tmp_path: Path) -> None:
    async with serving(tmp_path) as site:
        for path in (segment(20).path, segment(15).path.replace("mp4", "jpg"), "..%2f..%2fetc%2fpasswd", "%00"):
            code, told = await site.document(f"/api/verify/{path}")
            assert (code, told["code"]) == (404, "not_found")
