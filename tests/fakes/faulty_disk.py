"""A disk that fails as it is told: a file system in user space over a folder, mounted through the kernel's FUSE.

`python -m tests.fakes.faulty_disk FOLDER MOUNTPOINT FAULTS` says `mounted` on its stdout and serves until its stdin
ends; for each operation that gets no answer it says `held`. FAULTS is a JSON file, read again whenever it changes: an
object of kinds of operation (`read`, `write`, `sync`, `change`: everything that makes, renames or deletes) and what
becomes of them, which is the name of an errno, or `hang` for no answer until the fault is lifted. With the end of a
name behind it (`sync .mp4`) a fault hits those files alone, and what is changed in those folders; each name begins with
a slash.
Stop the whole process (SIGSTOP) for a disk that answers nothing at all.

What this cannot show: errors that the kernel only finds when it writes its cache back, because here every write is seen
at once.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import select
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

MAX_WRITE = 128 * 1024
_IN = struct.Struct("<IIQQIIIHH")
_OUT = struct.Struct("<IiQ")
_ATTR = struct.Struct("<6Q10I")
_LOOK_AGAIN_MS = 50
_MS_NOSUID_NODEV = 2 | 4


class Served(Exception):
    """The file system was unmounted."""


class Disk:
    """Serves one mounted folder. Nodes are known by their inode, and held open so that no number is used twice."""

    def __init__(self, folder: Path, faults: Path) -> None:
        self._faults_path = faults
        self._faults_stamp = 0
        self._faults: dict[str, str] = {}
        self._held: list[tuple[str, bytes]] = []
        self._nodes = {1: os.open(folder, os.O_PATH | os.O_DIRECTORY)}
        self._names: dict[int, str] = {}
        self._lookups: dict[int, int] = {}
        self._listings: dict[int, list[tuple[str, int, int]]] = {}
        self._device = -1
        self._operations: dict[int, tuple[str, Callable[[int, bytes], bytes]]] = {
            1: ("look", self._lookup),
            3: ("look", self._getattr),
            4: ("change", self._setattr),
            9: ("change", self._mkdir),
            10: ("change", self._unlink),
            11: ("change", self._rmdir),
            12: ("change", self._rename),
            13: ("change", self._link),
            14: ("look", self._open),
            15: ("read", self._read),
            16: ("write", self._write),
            17: ("look", self._statfs),
            18: ("look", self._release),
            20: ("sync", self._fsync),
            26: ("look", self._init),
            27: ("look", self._opendir),
            28: ("look", self._readdir),
            29: ("look", self._releasedir),
            30: ("sync", self._fsync),
            35: ("change", self._create),
            45: ("change", self._rename2),
        }

    def mount(self, folder: Path) -> None:
        self._device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
        options = f"fd={self._device},rootmode=40000,user_id={os.getuid()},group_id={os.getgid()},allow_other"
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.mount(b"faulty", os.fsencode(folder), b"fuse", _MS_NOSUID_NODEV, options.encode()):
            raise OSError(ctypes.get_errno(), "mount")

    def serve(self) -> None:
        """Answer until unmounted, or until stdin ends."""
        poll = select.poll()
        poll.register(self._device, select.POLLIN)
        poll.register(0, select.POLLIN | select.POLLHUP)
        while True:
            ready = dict(poll.poll(_LOOK_AGAIN_MS))
            if 0 in ready:
                return
            self._look_at_faults()
            if self._device in ready:
                try:
                    self._handle(os.read(self._device, MAX_WRITE + 4096))
                except OSError as error:
                    if error.errno == errno.ENODEV:
                        raise Served from None
                    if error.errno not in (errno.EINTR, errno.ENOENT):
                        raise

    def _look_at_faults(self) -> None:
        try:
            stamp = self._faults_path.stat().st_mtime_ns
        except FileNotFoundError:
            return
        if stamp != self._faults_stamp:
            self._faults_stamp = stamp
            self._faults = json.loads(self._faults_path.read_text())
            held, self._held = self._held, []
            for _, request in held:
                self._handle(request)

    def _handle(self, request: bytes) -> None:
        _, opcode, unique, node, *_ = _IN.unpack_from(request)
        body = request[_IN.size :]
        if opcode in (2, 42):
            self._forget(opcode, node, body)
            return
        if opcode in (36, 38):
            return
        kind, operation = self._operations.get(opcode, ("unknown", None))
        fault = self._fault(kind, self._names.get(node, ""))
        if fault == "hang":
            self._held.append((kind, request))
            print("held", flush=True)
            return
        try:
            if fault is not None:
                self._answer(unique, -getattr(errno, fault), b"")
            elif operation is None:
                # Above all FLUSH: without it a close never waits for the disk, as on a local file system.
                self._answer(unique, -errno.ENOSYS, b"")
            else:
                self._answer(unique, 0, operation(node, body))
        except OSError as error:
            self._answer(unique, -(error.errno or errno.EIO), b"")

    def _fault(self, kind: str, name: str) -> str | None:
        for what, fault in self._faults.items():
            hit, _, ending = what.partition(" ")
            if hit == kind and f"/{name}".endswith(ending):
                return fault
        return None

    def _answer(self, unique: int, error: int, content: bytes) -> None:
        try:
            os.write(self._device, _OUT.pack(_OUT.size + len(content), error, unique) + content)
        except OSError as gone:
            if gone.errno not in (errno.ENOENT, errno.ENODEV):  # the asking process was killed meanwhile
                raise

    # -- nodes --------------------------------------------------------------------------------------------------------

    def _path(self, node: int) -> str:
        return f"/proc/self/fd/{self._nodes[node]}"

    def _entry(self, parent: int, name: str) -> bytes:
        descriptor = os.open(name, os.O_PATH | os.O_NOFOLLOW, dir_fd=self._nodes[parent])
        facts = os.fstat(descriptor)
        if facts.st_ino in self._nodes:
            os.close(descriptor)
        else:
            self._nodes[facts.st_ino] = descriptor
        self._names[facts.st_ino] = name
        self._lookups[facts.st_ino] = self._lookups.get(facts.st_ino, 0) + 1
        return struct.pack("<4Q2I", facts.st_ino, 0, 0, 0, 0, 0) + _attributes(facts)

    def _forget(self, opcode: int, node: int, body: bytes) -> None:
        count = struct.unpack_from("<I", body)[0] if opcode == 42 else 0
        forgotten = list(struct.iter_unpack("<QQ", body[8 : 8 + 16 * count])) if count else []
        if opcode == 2:
            forgotten = [(node, struct.unpack_from("<Q", body)[0])]
        for one, times in forgotten:
            self._lookups[one] = self._lookups.get(one, 0) - times
            if one != 1 and self._lookups[one] <= 0 and one in self._nodes:
                os.close(self._nodes.pop(one))

    def _lookup(self, node: int, body: bytes) -> bytes:
        return self._entry(node, _name(body))

    def _getattr(self, node: int, _body: bytes) -> bytes:
        return struct.pack("<QII", 0, 0, 0) + _attributes(Path(self._path(node)).stat())

    def _setattr(self, node: int, body: bytes) -> bytes:
        valid, _, _, size = struct.unpack_from("<IIQQ", body)
        if valid & 8:
            os.truncate(self._path(node), size)
        if valid & 1:
            Path(self._path(node)).chmod(struct.unpack_from("<I", body, 68)[0] & 0o7777)
        return self._getattr(node, body)

    # -- names --------------------------------------------------------------------------------------------------------

    def _mkdir(self, node: int, body: bytes) -> bytes:
        os.mkdir(_name(body, 8), struct.unpack_from("<I", body)[0] & 0o7777, dir_fd=self._nodes[node])
        return self._entry(node, _name(body, 8))

    def _unlink(self, node: int, body: bytes) -> bytes:
        os.unlink(_name(body), dir_fd=self._nodes[node])
        return b""

    def _rmdir(self, node: int, body: bytes) -> bytes:
        os.rmdir(_name(body), dir_fd=self._nodes[node])
        return b""

    def _rename(self, node: int, body: bytes, names_at: int = 8) -> bytes:
        old, new = body[names_at:].rstrip(b"\0").split(b"\0")
        target = struct.unpack_from("<Q", body)[0]
        os.rename(old, new, src_dir_fd=self._nodes[node], dst_dir_fd=self._nodes[target])
        return b""

    def _rename2(self, node: int, body: bytes) -> bytes:
        if struct.unpack_from("<I", body, 8)[0]:
            raise OSError(errno.EINVAL, "flags")
        return self._rename(node, body, 16)

    def _link(self, node: int, body: bytes) -> bytes:
        (source,) = struct.unpack_from("<Q", body)
        os.link(self._path(source), _name(body, 8), dst_dir_fd=self._nodes[node], follow_symlinks=True)
        return self._entry(node, _name(body, 8))

    # -- files --------------------------------------------------------------------------------------------------------

    def _open(self, node: int, body: bytes) -> bytes:
        flags = struct.unpack_from("<I", body)[0] & (os.O_ACCMODE | os.O_TRUNC)
        return struct.pack("<QII", os.open(self._path(node), flags | os.O_CLOEXEC), 0, 0)

    def _create(self, node: int, body: bytes) -> bytes:
        flags, mode = struct.unpack_from("<II", body)
        name = _name(body, 16)
        wanted = flags & (os.O_ACCMODE | os.O_TRUNC | os.O_EXCL) | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        file = os.open(name, wanted, mode & 0o7777, dir_fd=self._nodes[node])
        return self._entry(node, name) + struct.pack("<QII", file, 0, 0)

    def _read(self, _node: int, body: bytes) -> bytes:
        file, offset, size = struct.unpack_from("<QQI", body)
        return os.pread(file, size, offset)

    def _write(self, _node: int, body: bytes) -> bytes:
        file, offset, size = struct.unpack_from("<QQI", body)
        return struct.pack("<II", os.pwrite(file, body[40 : 40 + size], offset), 0)

    def _release(self, _node: int, body: bytes) -> bytes:
        os.close(struct.unpack_from("<Q", body)[0])
        return b""

    def _fsync(self, _node: int, _body: bytes) -> bytes:
        return b""

    def _statfs(self, node: int, _body: bytes) -> bytes:
        facts = os.statvfs(self._path(node))
        room = (facts.f_blocks, facts.f_bfree, facts.f_bavail, facts.f_files, facts.f_ffree)
        return struct.pack("<5Q4I24x", *room, facts.f_bsize, 255, facts.f_frsize, 0)

    def _opendir(self, node: int, _body: bytes) -> bytes:
        handle = max(self._listings, default=0) + 1
        with os.scandir(self._path(node)) as entries:
            self._listings[handle] = [
                (entry.name, entry.inode(), 4 if entry.is_dir(follow_symlinks=False) else 8) for entry in entries
            ]
        return struct.pack("<QII", handle, 0, 0)

    def _readdir(self, _node: int, body: bytes) -> bytes:
        handle, offset, size = struct.unpack_from("<QQI", body)
        content = b""
        for place, (name, inode, kind) in enumerate(self._listings[handle][offset:], offset + 1):
            encoded = os.fsencode(name)
            record = struct.pack("<QQII", inode, place, len(encoded), kind) + encoded
            record += bytes(-len(record) % 8)
            if len(content) + len(record) > size:
                break
            content += record
        return content

    def _releasedir(self, _node: int, body: bytes) -> bytes:
        del self._listings[struct.unpack_from("<Q", body)[0]]
        return b""

    def _init(self, _node: int, body: bytes) -> bytes:
        major, minor, read_ahead = struct.unpack_from("<III", body)
        assert major == 7, major
        big_writes, max_pages = 1 << 5, 1 << 22
        facts: tuple[Any, ...] = (7, min(minor, 31), read_ahead, big_writes | max_pages, 12, 9, MAX_WRITE, 1, 32, 0)
        return struct.pack("<4I2H2I2H32x", *facts)


def _name(body: bytes, offset: int = 0) -> str:
    return os.fsdecode(body[offset:].split(b"\0", 1)[0])


def _attributes(facts: os.stat_result) -> bytes:
    seconds = [int(moment // 10**9) for moment in (facts.st_atime_ns, facts.st_mtime_ns, facts.st_ctime_ns)]
    rest = [int(moment % 10**9) for moment in (facts.st_atime_ns, facts.st_mtime_ns, facts.st_ctime_ns)]
    owner = (facts.st_mode, facts.st_nlink, facts.st_uid, facts.st_gid, 0, 4096, 0)
    return _ATTR.pack(facts.st_ino, facts.st_size, facts.st_blocks, *seconds, *rest, *owner)


def main(folder: str, mountpoint: str, faults: str) -> None:
    disk = Disk(Path(folder), Path(faults))
    disk.mount(Path(mountpoint))
    print("mounted", flush=True)
    try:
        disk.serve()
    except Served:
        print("unmounted", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
