"""The web server with everything behind it, and what a person is told at the start."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from edge_agent import __version__
from edge_agent.app.cameras import Cameras
from edge_agent.app.doors import Broker, new_command_id
from edge_agent.app.library import Library
from edge_agent.app.outlet import Feeds
from edge_agent.app.screens import Screens
from edge_agent.config import Config
from edge_agent.driver import Driver
from edge_agent.web.access import Access
from edge_agent.web.feed import Feed
from edge_agent.web.guard import Doors
from edge_agent.web.ports import House as WebHouse
from edge_agent.web.ports import LiveSettings
from edge_agent.web.server import Route, WebServer, own_names
from edge_agent.web.stream import SnapshotHandler, StreamHandler
from edge_agent.web.video import VideoSocket
from edge_agent.wire import About, info_document


def web_server(
    config: Config,
    access: Access,
    boot_id: str,
    driver: Driver,
    feeds: Feeds,
    library: Library,
    picture: LiveSettings,
    screens: Screens,
) -> WebServer:
    """The server, not listening yet. Raises OSError for certificate files that cannot be used."""
    house = WebHouse(
        device=config.device.id,
        boot_id=boot_id,
        version=__version__,
        clock=driver.clock.now,
        new_id=new_command_id,
        ask=driver.ask,
        status=driver.status,
        info=feeds.info,
        telemetry=feeds.telemetry,
        recordings=library,
        live=picture,
        album=library,
    )
    doors = Doors(house, access, own_names(config.web, config.device.id), frozenset(config.web.cors_origins))
    feed = Feed({"status": feeds.status, "telemetry": feeds.telemetry, "event": feeds.event, "result": feeds.result})
    live = {"views": screens.views, "seats": screens.seats}
    more = [
        Route(r"/stream/([^/]+)", StreamHandler, live),
        Route(r"/video/([^/]+)", VideoSocket, {"videos": screens.videos, "seats": screens.seats}),
        Route(r"/snapshot/([^/]+)\.jpg", SnapshotHandler, live),
    ]
    return WebServer(config.web, doors, feed, more, others=lambda: screens.viewers)


def about(
    config: Config, cameras: Cameras, boot_id: str, started_at: datetime, url: str | None, now: datetime
) -> dict[str, Any]:
    """The info document: who this is and what it can do."""
    abilities = cameras.abilities
    told = About(
        device=config.device.id,
        name=config.device.title,
        groups=config.device.groups,
        version=__version__,
        boot_id=boot_id,
        started_at=started_at,
        simulated=abilities.simulated,
        rpicam_program=abilities.program[0] if cameras.found and not abilities.simulated else None,
        rpicam_version=abilities.version_text if cameras.found else None,
        http_url=url,
        base_topic=config.mqtt.base_topic,
        protocol=config.mqtt.protocol,
    )
    return info_document(told, now, cameras.about(), list(config.mode_table().values()))


def welcome(config: Config, broker: Broker, url: str | None, *, simulated: bool) -> str:
    """What a person reads on the terminal: where to look, and three commands to try."""
    device, base = config.device.id, config.mqtt.base_topic
    lines = [f"edge_agent {__version__} runs as {device}."]
    if simulated:
        lines += ["", "SIMULATED CAMERAS: these are test pictures, not footage."]
    lines += ["", f"  page        {url or 'not available, see the log'}", f"  recordings  {config.recording.root}"]
    if broker.missing is not None:
        lines += [f"  broker      none: {broker.missing}", ""]
        return "\n".join(lines)
    own = " (its own mosquitto, on loopback only)" if broker.embedded else ""
    lines += [f"  broker      {broker.host}:{broker.port}{own}", "", "Try:"]
    login = " -u USER -P PASSWORD" if config.mqtt.username else ""
    where = f"-h {broker.host} -p {broker.port}{login}"
    lines += [
        f"  mosquitto_pub {where} -t {base}/{device}/cmd/start -m dual-640"
        if "dual-640" in config.mode_table()
        else f"  mosquitto_pub {where} -t {base}/{device}/cmd/start -n",
        f"  mosquitto_pub {where} -t {base}/{device}/cmd/snapshot -n",
        f"  mosquitto_pub {where} -t {base}/{device}/cmd/stop -n",
        "and listen:",
        f"  mosquitto_sub {where} -t '{base}/{device}/#' -v",
        "",
    ]
    return "\n".join(lines)
