"""The store: sends a file in parts and goes on with what is there of it. The only door to boto3.

Nothing that the key may read is overwritten; who may only write is not told what a name stands for already.

Every request carries the MD5 of what it brings, which the store holds against what it got, and at the end the size is
asked for. A part that lies in the store already is known by its ETag; one that does not compare (a store that encrypts
with keys of its own calls its parts otherwise) is sent again, which costs time and is never wrong.
"""

from __future__ import annotations

import base64
import hashlib
import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

from boto3.session import Session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from edge_agent.offload.orders import Destination, Stored

MIB = 1024 * 1024
PART_BYTES = 5 * MIB
"""The smallest part that S3 takes: no more than this is sent twice when an upload is interrupted."""
MOST_PARTS = 10_000
PIECE_BYTES = 16 * 1024
"""How much goes out at once: what is allowed is kept to within one of these."""
CONNECT_S = 10.0
SILENCE_S = 60.0
"""How long the store may say nothing, or take nothing, until the connection is given up."""

_ADVICE = {
    "InvalidAccessKeyId": "it does not know offload.access_key",
    "SignatureDoesNotMatch": "the secret key is not that of offload.access_key: check offload.secret_key_file",
    "AccessDenied": "offload.access_key may not do that: give it the rights that deploy/README.md names",
    "NoSuchBucket": "there is no such bucket: make it, or set offload.bucket",
    "RequestTimeTooSkewed": "this machine's clock is wrong: let it be synchronized",
    "AuthorizationHeaderMalformed": "the bucket is of another region: set offload.region",
    "PermanentRedirect": "the bucket is of another region: set offload.region",
}
_UNKNOWN = frozenset({"404", "NoSuchKey", "NotFound"})
_NOT_FOR_US = frozenset({"403", "AccessDenied", "Forbidden"})


_Begun = tuple[str, dict[int, str]]
"""An unfinished upload: its id, and the ETags of the parts that are there, by number."""


class StoreFailed(Exception):
    """The store could not be reached, or did not take what it was sent; the message says what to do."""


class Store:
    """One bucket. `pass_on` is called with the size of each piece before it goes out, and may take its time.

    Every method may raise `StoreFailed`. Asks at once whether there is such a bucket for us.
    """

    def __init__(self, destination: Destination, pass_on: Callable[[int], None]) -> None:
        self._bucket = destination.bucket
        self._where = f"{destination.endpoint_url or 'Amazon S3'}, bucket {destination.bucket}"
        self._pass_on = pass_on
        with self._failures():
            self._client = _client(destination)
            # Not in the body that is given to the client: that is also read to be signed.
            self._client.meta.events.register("before-send.s3.UploadPart", self._hold_back)
            self._client.list_multipart_uploads(Bucket=self._bucket, Prefix=destination.prefix, MaxUploads=1)

    def send(self, file: BinaryIO, key: str) -> Stored:
        """Send a file, from its beginning to its end. Raises OSError when it cannot be read.

        Where something else has the name already, the file gets one with the beginning of its ETag before the ending.
        """
        size_bytes = os.fstat(file.fileno()).st_size
        part_bytes = part_size(size_bytes)
        with self._failures():
            there = self._look(key)
            if there is not None:
                etag = etag_of(pieces(file, part_bytes))
                if there == (size_bytes, etag):
                    return Stored(key, etag)
                key = name_beside(key, etag)
                there = self._look(key)
                if there is not None and there[0] == size_bytes:
                    return Stored(key, there[1])
            begun = self._find_begun(key) if size_bytes > part_bytes else None
            etag = self._upload(file, key, part_bytes, begun)
            there = self._look(key)
        if there is not None and there[0] != size_bytes:
            raise StoreFailed(f"{self._where}: holds {there[0]} of {size_bytes} bytes of {key}; it is sent again")
        return Stored(key, etag)

    def _upload(self, file: BinaryIO, key: str, part_bytes: int, begun: _Begun | None) -> str:
        upload_id, had = begun or self._begin(key)
        names = {"Bucket": self._bucket, "Key": key, "UploadId": upload_id}
        parts = []
        for number, content in enumerate(pieces(file, part_bytes), 1):
            md5 = hashlib.md5(content, usedforsecurity=False)
            etag = had.get(number)
            if etag != f'"{md5.hexdigest()}"':
                digest = base64.b64encode(md5.digest()).decode()
                etag = self._client.upload_part(**names, PartNumber=number, Body=content, ContentMD5=digest)["ETag"]
            parts.append({"PartNumber": number, "ETag": etag})
        done = self._client.complete_multipart_upload(**names, MultipartUpload={"Parts": parts})
        return str(done["ETag"]).strip('"')

    def _begin(self, key: str) -> _Begun:
        created = self._client.create_multipart_upload(Bucket=self._bucket, Key=key, ContentType="video/mp4")
        return str(created["UploadId"]), {}

    def _find_begun(self, key: str) -> _Begun | None:
        """The newest unfinished upload of this name; None where there is none, or it ends in this moment."""
        # By the whole name: MinIO lists those of a name alone, and none by the beginning of it.
        pages = self._client.get_paginator("list_multipart_uploads").paginate(Bucket=self._bucket, Prefix=key)
        begun = [upload for page in pages for upload in page.get("Uploads", ()) if upload["Key"] == key]
        if not begun:
            return None
        upload_id = max(begun, key=lambda upload: upload["Initiated"])["UploadId"]
        try:
            pages = self._client.get_paginator("list_parts").paginate(Bucket=self._bucket, Key=key, UploadId=upload_id)
            return upload_id, {part["PartNumber"]: part["ETag"] for page in pages for part in page.get("Parts", ())}
        except ClientError as error:
            if _code(error) == "NoSuchUpload":
                return None
            raise

    def _look(self, key: str) -> tuple[int, str] | None:
        """Size and ETag of what has this name; None where nothing has, or who may only write is not told."""
        try:
            there = self._client.head_object(Bucket=self._bucket, Key=key)
        except ClientError as error:
            if _code(error) in _UNKNOWN | _NOT_FOR_US:
                return None
            raise
        return int(there["ContentLength"]), str(there["ETag"]).strip('"')

    def _hold_back(self, request: Any, **_: object) -> None:
        request.body.seek(0)  # the client has made a file of it, and has read it to sign it
        request.body = _Metered(request.body.read(), self._pass_on)

    @contextmanager
    def _failures(self) -> Iterator[None]:
        """Turn what the client raises into a `StoreFailed` that says what to do."""
        try:
            yield
        except ClientError as error:
            code = _code(error)
            told = _ADVICE.get(code) or error.response.get("Error", {}).get("Message") or "says no more"
            raise StoreFailed(f"{self._where}: {code}: {told}") from error
        except (BotoCoreError, ValueError) as error:  # ValueError: an endpoint that is no address
            raise StoreFailed(f"{self._where}: cannot be reached: {error}") from error


class _Metered(io.BytesIO):
    """A request's body that asks before each piece."""

    def __init__(self, content: bytes, pass_on: Callable[[int], None]) -> None:
        super().__init__(content)
        self._pass_on = pass_on

    def read(self, size: int | None = -1, /) -> bytes:
        # The client asks for up to 128 KiB, which would be a burst where little is allowed; less is no end to it.
        piece = super().read(size if size is None or size < 0 else min(size, PIECE_BYTES))
        if piece:
            self._pass_on(len(piece))
        return piece


def part_size(size_bytes: int) -> int:
    """How long each part of a file is but the last: the same at every try, or nothing could be gone on with."""
    needed_bytes = -(-size_bytes // MOST_PARTS)
    return max(PART_BYTES, -(-needed_bytes // MIB) * MIB)


def pieces(file: BinaryIO, part_bytes: int) -> Iterator[bytes]:
    """The file's parts from its beginning; of an empty file one that is empty."""
    file.seek(0)
    yield file.read(part_bytes)
    while content := file.read(part_bytes):
        yield content


def etag_of(parts: Iterator[bytes]) -> str:
    """What S3 calls a content that came in these parts."""
    digests = [hashlib.md5(part, usedforsecurity=False).digest() for part in parts]
    return f"{hashlib.md5(b''.join(digests), usedforsecurity=False).hexdigest()}-{len(digests)}"


def name_beside(key: str, etag: str) -> str:
    """The name for a file whose own is taken by something else: the same for the same content."""
    stem, dot, kind = key.rpartition(".")
    return f"{stem}.{etag[:8]}{dot}{kind}"


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", "no code"))


def _client(destination: Destination) -> Any:
    return Session().client(
        "s3",
        endpoint_url=destination.endpoint_url,
        region_name=destination.region,
        aws_access_key_id=destination.access_key,
        aws_secret_access_key=destination.secret_key,
        verify=destination.ca_file,
        config=Config(
            connect_timeout=CONNECT_S,
            read_timeout=SILENCE_S,
            retries={"total_max_attempts": 1},  # the agent tries again, later each time
            # What every store understands: some refuse the checksums that the client adds by itself.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            # Few stores but Amazon's answer under a name of the bucket's own.
            s3={"addressing_style": "path" if destination.endpoint_url else "auto"},
        ),
    )
