"""A real S3-compatible store on loopback (moto's server, in a process of its own) that checks every signature.

`ObjectStore` starts it with one bucket and one user who may do everything. It can be told to hold or refuse requests,
and says which ones came: `PUT /bucket/van7/a.mp4?partNumber=1&uploadId=x 200`.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.fakes.agent import PATIENCE_S, eventually
from tests.fakes.mosquitto import Certificates

BUCKET = "footage"
REGION = "us-east-1"
_HOLD_S = 0.02

Start = Callable[..., Any]
Application = Callable[[dict[str, Any], Start], Iterable[bytes]]


class ObjectStore:
    """The store, for a `with` block. `access_key` and `secret_key` are the user's, `url` is where it listens.

    With `certificates` it speaks HTTPS. What lies in it is lost when it ends.
    """

    def __init__(self, directory: Path, certificates: Certificates | None = None) -> None:
        self.access_key = ""
        self.secret_key = ""
        self.url = ""
        self._directory = directory
        self._certificates = certificates
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._directory.mkdir(parents=True, exist_ok=True)
        log = self._directory / "store.log"
        pair = (self._certificates.server.cert, self._certificates.server.key) if self._certificates else ()
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.fakes.object_store", str(self._directory), *map(str, pair)],
                cwd=Path(__file__).parents[2],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        try:
            self.url = eventually(lambda: _address(log.read_text()), "the store listens")
            self._make_user()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(PATIENCE_S)

    def client(self, service: str = "s3") -> Any:
        """A client of the user's for looking at the store, or of somebody who may do everything before there is one."""
        from boto3.session import Session  # noqa: PLC0415 - takes half a second

        return Session().client(
            service,
            endpoint_url=self.url,
            region_name=REGION,
            verify=str(self._certificates.ca) if self._certificates else None,
            aws_access_key_id=self.access_key or "root",
            aws_secret_access_key=self.secret_key or "root",
        )

    def names(self, prefix: str = "") -> list[str]:
        """The names that begin so."""
        listed = self.client().list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", ())
        return [one["Key"] for one in listed]

    def content(self, key: str) -> bytes:
        """What lies under this name."""
        return bytes(self.client().get_object(Bucket=BUCKET, Key=key)["Body"].read())

    def requests(self) -> list[str]:
        """Method, path with query, and status of each request that was answered, in order."""
        return self._lines("requests")

    def held(self) -> list[str]:
        """Method and path of each request that was ever held."""
        return self._lines("held")

    def fault(self, **patterns: str) -> None:
        """From now on `hold` (do not answer) or `refuse` (500) requests that match a pattern; none mends it."""
        draft = self._directory / "faults.draft"
        draft.write_text(json.dumps(patterns))
        draft.replace(self._directory / "faults.json")

    def _lines(self, name: str) -> list[str]:
        path = self._directory / name
        return path.read_text().splitlines() if path.exists() else []

    def _make_user(self) -> None:
        self.client().create_bucket(Bucket=BUCKET)
        people = self.client("iam")
        people.create_user(UserName="van7")
        everything = {"Effect": "Allow", "Action": "*", "Resource": "*"}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [everything]})
        people.put_user_policy(UserName="van7", PolicyName="all", PolicyDocument=policy)
        key = people.create_access_key(UserName="van7")["AccessKey"]
        (self._directory / "strict").touch()
        self.access_key, self.secret_key = key["AccessKeyId"], key["SecretAccessKey"]


def _address(log: str) -> str:
    found = re.search(r"listens on (\S+)", log)
    return found[1] if found else ""


class Gate:
    """In front of the store: writes down what comes, and does what `faults.json` says."""

    def __init__(self, directory: Path, behind: Application) -> None:
        self._directory = directory
        self._behind = behind
        self._lock = threading.Lock()

    def __call__(self, environ: dict[str, Any], start: Start) -> Iterable[bytes]:
        query = f"?{environ['QUERY_STRING']}" if environ["QUERY_STRING"] else ""
        request = f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}{query}"
        if self._matches("hold", request):
            self._note("held", request)
        while self._matches("hold", request):
            threading.Event().wait(_HOLD_S)
        if self._matches("refuse", request):
            self._note("requests", f"{request} 500")
            start("500 Internal Server Error", [("Content-Type", "text/plain")])
            return [b"out of order"]

        def started(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            self._note("requests", f"{request} {status.split(maxsplit=1)[0]}")
            return start(status, headers, *rest)

        return self._behind(environ, started)

    def _matches(self, fault: str, request: str) -> bool:
        try:
            pattern = json.loads((self._directory / "faults.json").read_text()).get(fault)
        except FileNotFoundError:
            return False
        return pattern is not None and re.search(pattern, request) is not None

    def _note(self, name: str, line: str) -> None:
        with self._lock, (self._directory / name).open("a") as file:
            file.write(line + "\n")


def main(directory: Path, *pair: str) -> None:
    """Serve for ever; over TLS with the certificate and key of `pair`."""
    from moto import settings  # noqa: PLC0415 - the program's alone; a test that imports this file needs none of it
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app  # noqa: PLC0415
    from werkzeug.serving import make_server  # noqa: PLC0415

    store = DomainDispatcherApplication(create_backend_app)

    def strict(environ: dict[str, Any], start: Start) -> Iterable[bytes]:
        if (directory / "strict").exists():
            settings.INITIAL_NO_AUTH_ACTION_COUNT = 0
        return store(environ, start)  # type: ignore[no-any-return]

    tls = (pair[0], pair[1]) if pair else None
    server = make_server("127.0.0.1", 0, Gate(directory, strict), threaded=True, ssl_context=tls)
    print(f"listens on {'https' if pair else 'http'}://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    os.environ.setdefault("TZ", "UTC")
    main(Path(sys.argv[1]), *sys.argv[2:])
