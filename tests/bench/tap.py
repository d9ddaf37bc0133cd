"""What the live tap costs: CPU of one core, memory, and the time from a picture's first byte to its copy.

    python -m tests.bench.tap [SECONDS]

ffmpeg sends a recording in real time as the recorder does; every order runs for SECONDS (10). The child's CPU is user
and system time from /proc, the latency is that of the pictures that came after the first second.
"""

from __future__ import annotations

import os
import select
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from edge_agent.tapframes import TapFrames

SIZES = (("640x480", "1500k"), ("1280x720", "3000k"), ("1920x1080", "8000k"))
ORDERS = (("waiting",), ("copy on",), ("copy off", "jpeg 1 640 80"), ("jpeg 10 640 80",), ("jpeg 30 640 80",))
TICKS = os.sysconf("SC_CLK_TCK")


def recording(path: Path, size: str, bitrate: str) -> Path:
    source = ["-f", "lavfi", "-i", f"testsrc2=s={size}:r=30", "-t", "20", "-pix_fmt", "yuv420p", "-g", "30"]
    coding = ["-c:v", "libx264", "-preset", "superfast", "-tune", "zerolatency", "-b:v", bitrate, "-maxrate", bitrate]
    subprocess.run(["ffmpeg", "-v", "error", "-y", *source, *coding, "-bufsize", bitrate, str(path)], check=True)
    return path


class Child:
    """A tap and its recorder."""

    def __init__(self, stack: ExitStack, path: Path) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.fmp4, writer = os.pipe()
        argv = [sys.executable, "-m", "edge_agent.media.tap", "--port", str(port), "--fmp4-fd", str(writer)]
        pipe = subprocess.PIPE
        self.process = stack.enter_context(subprocess.Popen(argv, stdin=pipe, stdout=pipe, pass_fds=[writer]))
        stack.callback(self.process.kill)
        os.close(writer)
        player = ["ffmpeg", "-v", "quiet", "-nostdin", "-re", "-stream_loop", "-1", "-i", str(path), "-c", "copy"]
        target = f"udp://127.0.0.1:{port}?pkt_size=1316"
        stack.callback(stack.enter_context(subprocess.Popen([*player, "-f", "mpegts", target])).kill)

    def cpu_s(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def rss_mb(self) -> float:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) / 1024

    def measure(self, orders: tuple[str, ...], seconds: float) -> str:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        if orders != ("waiting",):
            self.process.stdin.write("".join(f"{order}\n" for order in orders).encode())
            self.process.stdin.flush()
        parser = TapFrames()
        latencies_ms: list[float] = []
        jpegs = 0
        begin_s, cpu_s = time.monotonic(), self.cpu_s()
        while (passed_s := time.monotonic() - begin_s) < seconds:
            for ready in select.select([self.fmp4, self.process.stdout.fileno()], [], [], seconds - passed_s)[0]:
                data = os.read(ready, 1 << 20)
                if ready == self.fmp4:
                    arrivals = [frame.arrived_us for frame in parser.feed(data) if frame.arrived_us]
                    latencies_ms += [time.time() * 1000 - at / 1000 for at in arrivals if passed_s > 1]
                else:
                    jpegs += data.count(b"\xff\xd8\xff")
        cpu_percent = 100 * (self.cpu_s() - cpu_s) / (time.monotonic() - begin_s)
        latencies_ms.sort()
        latency = f"{latencies_ms[len(latencies_ms) // 2]:.0f} / {latencies_ms[-1]:.0f}" if latencies_ms else "-"
        return (
            f"{cpu_percent:5.1f} % {self.rss_mb():4.0f} MB  {jpegs / seconds:4.1f} JPEG/s  copy p50 / max {latency} ms"
        )


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 10.0
    with tempfile.TemporaryDirectory() as folder:
        for size, bitrate in SIZES:
            path = recording(Path(folder) / f"{size}.mp4", size, bitrate)
            with ExitStack() as stack:
                child = Child(stack, path)
                child.measure(("waiting",), 3)
                for orders in ORDERS:
                    print(f"{size:10} {orders[-1]:15} {child.measure(orders, seconds)}", flush=True)


if __name__ == "__main__":
    main()
