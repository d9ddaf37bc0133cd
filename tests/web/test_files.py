from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.core.model import Code
from edge_agent.web.files import CHUNK_BYTES, Span, read_range
from tests.fakes.web import AT, Site, open_files, segment, serving, until

CONTENT = bytes(range(256)) * 4


async def test_a_segment_comes_whole_with_its_type_and_may_be_kept(tmp_path: Path) -> None:
    async with serving(tmp_path) as site:
        stored = site.recordings.store(15, CONTENT)
        response = await site.fetch(f"/recordings/{stored.path}")
        assert response.body == CONTENT
        assert response.headers["Content-Type"] == "video/mp4"
        assert response.headers["Content-Length"] == "1024"
        assert response.headers["Accept-Ranges"] == "bytes"
        assert "Content-Disposition" not in response.headers
        etag = response.headers["ETag"]
        again = await site.fetch(f"/recordings/{stored.path}", If_None_Match=f'"other", W/{etag}')
        assert (again.code, again.body) == (304, b"")
        changed = await site.fetch(f"/recordings/{stored.path}", If_None_Match='"other"')
        assert changed.code == 200
        since = response.headers["Last-Modified"]
        assert (await site.fetch(f"/recordings/{stored.path}", If_Modified_Since=since)).code == 304
        newer = await site.fetch(f"/recordings/{stored.path}", If_Modified_Since=since, If_None_Match='"other"')
        assert newer.code == 200


async def test_a_download_carries_its_name(tmp_path: Path) -> None:
    async with serving(tmp_path) as site:
        stored = site.recordings.store(15, CONTENT)
        response = await site.fetch(f"/recordings/{stored.path}?download=1")
        assert response.headers["Content-Disposition"] == (
            'attachment; filename="blackbox_cam0_640_20261123T091500Z.mp4"'
        )


@pytest.mark.parametrize(
    ("asked", "told", "content"),
    [
        ("bytes=0-", "bytes 0-1023/1024", CONTENT),
        ("bytes=0-0", "bytes 0-0/1024", CONTENT[:1]),
        ("bytes=10-19", "bytes 10-19/1024", CONTENT[10:20]),
        ("bytes=1000-99999", "bytes 1000-1023/1024", CONTENT[1000:]),
        ("bytes=-5", "bytes 1019-1023/1024", CONTENT[-5:]),
        ("bytes=-99999", "bytes 0-1023/1024", CONTENT),
        ("bytes=1000-99999999999999999999", "bytes 1000-1023/1024", CONTENT[1000:]),
        ("Bytes=5-6", "bytes 5-6/1024", CONTENT[5:7]),
    ],
)
async def test_a_range_brings_those_bytes_and_no_others(tmp_path: Path, asked: str, told: str, content: bytes) -> None:
    async with serving(tmp_path) as site:
        stored = site.recordings.store(15, CONTENT)
        response = await site.fetch(f"/recordings/{stored.path}", Range=asked)
        assert (response.code, response.headers["Content-Range"], response.body) == (206, told, content)


@pytest.mark.parametrize(
    "asked",
    [
        "bytes=1024-",
        "bytes=5-2",
        "bytes=-0",
        "bytes=-",
        "bytes=",
        "bytes=a-b",
        "bytes=--5",
        "bytes=0-1,5-6",
        "bytes=0x1-2",
        "bytes=9999999999999999999999-",
        "bytes=" + ",".join(f"{number}-{number}" for number in range(10_000)),
    ],
)
async def test_a_range_that_there_is_not_is_refused_with_the_size(tmp_path: Path, asked: str) -> None:
    async with serving(tmp_path) as site:
        stored = site.recordings.store(15, CONTENT)
        response = await site.fetch(f"/recordings/{stored.path}", Range=asked)
        assert response.code == 416
        assert response.headers["Content-Range"] == "bytes */1024"


async def test_if_range_decides_between_the_rest_and_the_whole(tmp_path: Path) -> None:
    async with serving(tmp_path) as site:
        path = f"/recordings/{site.recordings.store(15, CONTENT).path}"
        etag = (await site.fetch(path, "HEAD")).headers["ETag"]
        assert (await site.fetch(path, Range="bytes=5-", If_Range=etag)).code == 206
        changed = await site.fetch(path, Range="bytes=5-", If_Range='"other"')
        assert (changed.code, changed.body) == (200, CONTENT)
        assert (await site.fetch(path, Range="lines=5-")).code == 200


async def test_head_tells_the_size_and_sends_nothing(tmp_path: Path) -> None:
    async with serving(tmp_path) as site:
        stored = site.recordings.store(15, CONTENT)
        response = await site.fetch(f"/recordings/{stored.path}", "HEAD")
        assert (response.code, response.headers["Content-Length"], response.body) == (200, "1024", b"")


@given(st.text(alphabet="bytes=-0123456789, x", max_size=20), st.integers(0, 2000))
def test_any_range_is_inside_the_file_or_none(text: str, size: int) -> None:
    span = read_range("bytes=" + text, size)
    assert span is None or 0 <= span.start < span.end <= size


@given(st.integers(0, 50), st.integers(0, 50), st.integers(1, 50))
def test_a_range_means_what_the_standard_says(first: int, last: int, size: int) -> None:
    whole = list(range(size))
    expected = whole[first : last + 1] if first <= last else []
    span = read_range(f"bytes={first}-{last}", size)
    assert (whole[span.start : span.end] if span else []) == expected
    suffix = read_range(f"bytes=-{last}", size)
    assert (whole[suffix.start : suffix.end] if suffix else []) == (whole[-last:] if last else [])
    assert read_range("bytes=0-", 0) is None
    assert read_range("bytes=0-", size) == Span(0, size)


TRICKS = [
    "../../etc/passwd",
    "..%2f..%2fetc%2fpasswd",
    "%2e%2e/%2e%2e/etc/passwd",
    "....//....//etc/passwd",
    "/etc/passwd",
    "//etc/passwd",
    "%2fetc%2fpasswd",
    "..%5c..%5cetc%5cpasswd",
    "640x480/cam0/../../../etc/passwd",
    "640x480/cam0/",
    "640x480/cam0",
    ".",
    "spool/run/run.json",
    "640x480/cam0/blackbox_cam0_640_20261123T091500Z.lock",
    "640x480/cam0/blackbox_cam0_640_20261123T091500Z.mp4%00.jpg",
    "640x480/cam0/blackbox_cam0_640_20261123T091500Z.mp4%0a",
    "640x480/cam0/blackbox_cam1_640_20261123T091500Z.mp4",
    "640x480/cam0/blackbox_cam0_640_20261399T999999Z.mp4",
    "640x480//cam0/blackbox_cam0_640_20261123T091500Z.mp4",
    "640x480/./cam0/blackbox_cam0_640_20261123T091500Z.mp4",
    "dev/zero",
    "%ff%fe",
    "%c0%ae%c0%ae/etc/passwd",
    "a" * 5000,
]


@pytest.mark.parametrize("path", TRICKS)
async def test_only_names_of_the_archive_are_ever_asked_for(tmp_path: Path, path: str) -> None:
    async with serving(tmp_path) as site:
        response = await site.fetch(f"/recordings/{path}")
        assert response.code in (400, 404)
        assert site.recordings.opened == []
        assert (await site.fetch(f"/api/recordings/{path}", "DELETE")).code in (400, 404)


async def test_a_name_of_the_archive_without_a_file_is_not_found(tmp_path: Path) -> None:
    async with serving(tmp_path) as site:
        code, told = await site.document(f"/recordings/{segment(15).path}")
        assert (code, told["code"]) == (404, "not_found")


async def test_every_file_that_was_opened_is_closed_again(tmp_path: Path) -> None:
    async with serving(tmp_path) as site:
        path = f"/recordings/{site.recordings.store(15, CONTENT).path}"
        await site.fetch(path)
        before = open_files()
        for headers in ({}, {"Range": "bytes=5-6"}, {"Range": "bytes=9-2"}, {"If_None_Match": "*"}):
            await site.fetch(path, **headers)
        await site.fetch(path, "HEAD")
        assert open_files() == before


async def test_a_file_that_is_deleted_meanwhile_is_sent_to_its_end(tmp_path: Path) -> None:
    async with serving(tmp_path) as site:
        content = os.urandom(CHUNK_BYTES * 40)
        stored = site.recordings.store(15, content)
        reader, writer = await asyncio.open_connection("127.0.0.1", site.server.port)
        writer.write(f"GET /recordings/{stored.path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"200 OK" in head
        (tmp_path / "archive" / stored.path).unlink()
        assert await reader.readexactly(len(content)) == content
        writer.close()


async def test_a_client_that_goes_away_leaves_nothing_open(tmp_path: Path) -> None:
    async with serving(tmp_path) as site:
        stored = site.recordings.store(15, bytes(CHUNK_BYTES * 80))
        await site.fetch("/healthz")
        before = open_files()
        for _ in range(5):
            reader, writer = await asyncio.open_connection("127.0.0.1", site.server.port)
            writer.write(f"GET /recordings/{stored.path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            await reader.readexactly(1000)
            writer.transport.abort()
        await until(lambda: open_files() <= before)


async def page(site: Site, query: str = "") -> tuple[int, dict[str, Any]]:
    return await site.document(f"/api/recordings{query}")


async def test_recordings_come_newest_first_page_by_page(tmp_path: Path) -> None:
    async with serving(tmp_path) as site:
        for number in range(10, 15):
            site.recordings.store(number, CONTENT)
        seen: list[str] = []
        cursor = None
        while True:
            code, told = await page(site, "?limit=2" + (f"&cursor={cursor}" if cursor else ""))
            assert code == 200
            seen += [one["started_at"] for one in told["recordings"]]
            cursor = told["next_cursor"]
            if cursor is None:
                break
        assert seen == [f"2026-11-23T09:{number}:00.000Z" for number in (14, 13, 12, 11, 10)]


async def test_a_recording_tells_what_is_known_and_where_it_is(tmp_path: Path) -> None:
    async with serving(tmp_path) as site:
        site.recordings.segments.append(segment(15, label="trip 1", lock_labels=("bump", "police")))
        _, told = await page(site)
        assert told["recordings"] == [
            {
                "path": "640x480/cam0/blackbox_cam0_640_20261123T091500Z.mp4",
                "url": "/recordings/640x480/cam0/blackbox_cam0_640_20261123T091500Z.mp4",
                "thumbnail_url": "/recordings/640x480/cam0/blackbox_cam0_640_20261123T091500Z.jpg",
                "camera": "cam0",
                "mode": "dual-640",
                "run_id": "20261123T090000Z-000001-cam0",
                "started_at": "2026-11-23T09:15:00.000Z",
                "duration_s": 60.0,
                "size_bytes": 1000,
                "width": 640,
                "height": 480,
                "label": "trip 1",
                "locked": True,
                "lock_label": "bump",
                "lock_labels": ["bump", "police"],
                "uploaded": False,
            }
        ]


async def test_filters_reach_the_archive_as_values(tmp_path: Path) -> None:
    async with serving(tmp_path) as site:
        start = quote("2026-11-23T10:15:00+01:00")
        query = f"?camera=cam0&mode=dual-640&from={start}&to=1795425600&locked=true&label=trip%201"
        assert (await page(site, query))[0] == 200
        (wanted,) = site.recordings.asked
        assert (wanted.camera, wanted.mode, wanted.label, wanted.locked) == ("cam0", "dual-640", "trip 1", True)
        assert wanted.start == AT
        assert wanted.end is not None
        assert (wanted.end - AT).total_seconds() == 300


@pytest.mark.parametrize(
    "query",
    [
        "camera=../x",
        "mode=%00",
        "from=yesterday",
        "from=2026-11-23T09:15:00",
        "from=2026-11-23T09:15:00Z&to=2026-11-23T09:15:00Z",
        "locked=maybe",
        "label=a/b",
        "limit=0",
        "limit=1001",
        "limit=-1",
        "limit=1e3",
        "limit=%D9%A3",
        "sort=asc",
        "camera=%ff",
    ],
)
async def test_a_filter_that_makes_no_sense_is_refused_by_name(tmp_path: Path, query: str) -> None:
    async with serving(tmp_path) as site:
        code, told = await page(site, f"?{query}")
        assert code == 400
        assert query.partition("=")[0] in told["detail"]
        assert site.recordings.asked == []


async def test_a_cursor_of_no_page_is_refused_by_the_archives_own_words(tmp_path: Path) -> None:
    async with serving(tmp_path) as site:
        code, told = await page(site, "?cursor=nonsense")
        assert (code, told["code"], told["detail"]) == (422, "out_of_range", "this cursor is of no page")


async def test_deleting_takes_a_segment_once_and_never_a_locked_one(tmp_path: Path) -> None:
    async with serving(tmp_path) as site:
        stored = site.recordings.store(15, CONTENT)
        locked = segment(16, lock_labels=("",))
        site.recordings.segments.append(locked)
        assert (await site.fetch(f"/api/recordings/{stored.path}", "DELETE")).code == 204
        assert (await site.fetch(f"/api/recordings/{stored.path}", "DELETE")).code == 404
        code, told = await site.document(f"/api/recordings/{locked.path}", "DELETE")
        assert (code, told["code"]) == (409, "forbidden")
        thumbnail = stored.path.replace(".mp4", ".jpg")
        assert (await site.fetch(f"/api/recordings/{thumbnail}", "DELETE")).code == 404


WINDOW = "from=2026-11-23T09:15:00Z&to=2026-11-23T09:16:00Z"


async def test_a_clip_is_sent_as_it_is_made(tmp_path: Path) -> None:
    async with serving(tmp_path) as site:
        site.recordings.store(15, CONTENT)
        response = await site.fetch(f"/api/clip?camera=cam0&{WINDOW}")
        assert (response.code, response.body) == (200, b"first second")
        assert response.headers["Content-Type"] == "video/mp4"
        assert "clip_cam0_20261123T091500Z.mp4" in response.headers["Content-Disposition"]
        assert site.recordings.clips_closed == 1


async def test_a_clip_that_breaks_off_is_not_taken_for_whole(tmp_path: Path) -> None:
    async with serving(tmp_path) as site:
        site.recordings.store(15, CONTENT)
        site.recordings.clip_breaks = True
        reader, writer = await asyncio.open_connection("127.0.0.1", site.server.port)
        writer.write(f"GET /api/clip?camera=cam0&{WINDOW} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        answer = await reader.read()
        writer.close()
        assert b"first" in answer
        assert not answer.endswith(b"0\r\n\r\n"), "the last chunk would say that it is complete"
        assert site.recordings.clips_closed == 1


async def test_a_clip_that_cannot_be_begun_is_answered_with_the_reason(tmp_path: Path) -> None:
    async with serving(tmp_path) as site:
        site.recordings.store(15, CONTENT)
        site.recordings.clip_fails = True
        code, told = await site.document(f"/api/clip?camera=cam0&{WINDOW}")
        assert (code, told["code"]) == (500, Code.INTERNAL)
        assert "cannot be started" in told["detail"]
        assert site.recordings.clips_closed == 1


@pytest.mark.parametrize(
    "query", ["", WINDOW, "camera=cam0", "camera=cam0&from=2026-11-23T09:15:00Z", f"camera=..&{WINDOW}"]
)
async def test_a_clip_says_what_it_needs(tmp_path: Path, query: str) -> None:
    async with serving(tmp_path) as site:
        code, told = await site.document(f"/api/clip?{query}")
        assert code == 400
        assert told["detail"]
        assert told["code"] == (Code.UNKNOWN_CAMERA if ".." in query else Code.MALFORMED)


async def test_a_clip_without_footage_is_not_found(tmp_path: Path) -> None:
    async with serving(tmp_path) as site:
        code, told = await site.document(f"/api/clip?camera=cam0&{WINDOW}")
        assert (code, told["code"]) == (404, Code.NOT_FOUND)
        assert (await site.fetch(f"/api/clip?camera=cam0&{WINDOW}", "HEAD")).code == 404
