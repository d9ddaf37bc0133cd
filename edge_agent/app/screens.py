"""Everything that somebody can watch: per camera its live view, its recording as video, and the tap that feeds both."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from edge_agent.app.tapping import Tapping, Taps
from edge_agent.config import Config
from edge_agent.core import events as ev
from edge_agent.core.model import CameraState, Now, Profile, Purpose
from edge_agent.core.status import AgentStatus
from edge_agent.ports import Clock, Post
from edge_agent.tapframes import TapFrame
from edge_agent.web.live import LiveView, Seats
from edge_agent.web.video import Video


class Screens:
    """The viewers' side of all cameras. `ports` are the loopback ports that recorders copy to, by camera."""

    def __init__(self, config: Config, clock: Clock, post: Post) -> None:
        self.views: dict[str, LiveView] = {}
        self.videos: dict[str, Video] = {}
        self.ports: dict[str, int] = {}
        self.seats = Seats(config.live.max_viewers)
        self._tappings: dict[str, Tapping] = {}
        self._post = post
        taps = Taps(self.ports, clock, self.publish, self._relay)
        for camera in config.camera_list():
            tapping = Tapping(camera.id, taps, config.live_profile())
            self._tappings[camera.id] = tapping
            self.videos[camera.id] = Video(camera.id, tapping.fragments)
            self.views[camera.id] = LiveView(
                camera.id, self._wanted(camera.id, tapping), clock.now, config.live.linger_s
            )
            self.ports[camera.id] = _free_udp_port()

    def start(self, tasks: asyncio.TaskGroup) -> None:
        """Keep taps while they are wanted."""
        for camera, tapping in self._tappings.items():
            tasks.create_task(tapping.run(), name=f"tap {camera}")

    def publish(self, camera: str, jpeg: bytes, captured: Now) -> None:
        """Show a picture to everybody who watches this camera."""
        self.views[camera].publish(jpeg, captured)

    def status(self, status: AgentStatus) -> None:
        """Learn which cameras are being recorded."""
        for camera, told in status.cameras.items():
            alive = told.state in (CameraState.STARTING, CameraState.RUNNING)
            recorded = alive and told.purpose is Purpose.RECORD
            self._tappings[camera].recorded(recorded)
            self.videos[camera].recorded(recorded)

    def show(self, profile: Profile) -> None:
        """Change the picture of live view for all cameras; nobody is disconnected."""
        for tapping in self._tappings.values():
            tapping.profile(profile)
        self._post(ev.LiveProfileChosen(profile))

    def limit(self, fps: float | None) -> None:
        """Let no viewer have more frames a second than this; None lifts the limit."""
        for view in self.views.values():
            view.rate_limit_fps = fps

    @property
    def viewers(self) -> int:
        """How many watch live pictures; they hold connections that Tornado does not count."""
        return sum(view.viewers for view in self.views.values())

    def close(self) -> None:
        """Send all viewers away."""
        for view in self.views.values():
            view.close()

    def _wanted(self, camera: str, tapping: Tapping) -> Callable[[bool], None]:
        def wanted(yes: bool) -> None:
            tapping.pictures(yes)
            self._post(ev.LiveWanted(camera, wanted=yes))

        return wanted

    def _relay(self, camera: str, frame: TapFrame | None) -> None:
        self.videos[camera].relay(frame)


def _free_udp_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
