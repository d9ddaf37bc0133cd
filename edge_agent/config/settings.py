"""Every key of the configuration with its unit, its default and the reason for it; and what the core gets of them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PrivateAttr, SecretStr, model_validator

from edge_agent.config import modes as mode_tables
from edge_agent.config import sources, values
from edge_agent.config.offload import OffloadSettings
from edge_agent.config.section import FilePath, Section
from edge_agent.core.model import Camera, Mode, Profile, Purpose, Step

Name = Annotated[str, AfterValidator(values.name)]
CameraId = Annotated[str, AfterValidator(values.camera_id)]
ModeName = Annotated[str, AfterValidator(values.mode_name)]
Host = Annotated[str, AfterValidator(values.host)]
Topic = Annotated[str, Field(max_length=128), AfterValidator(values.topic)]
Origin = Annotated[str, AfterValidator(values.origin)]
Title = Annotated[str, Field(min_length=1, max_length=64)]
Bytes = Annotated[int, BeforeValidator(values.size_bytes)]
BitRate = Annotated[int, Field(ge=mode_tables.LOWEST_BITRATE_BPS, le=100_000_000)]
Port = Annotated[int, Field(ge=1, le=65535)]
Pixels = Annotated[int, Field(ge=64, le=4608, multiple_of=2)]
Rate = Annotated[int, Field(ge=1, le=120)]
Percent = Annotated[float, Field(ge=0, le=100)]


def _this_device() -> str:
    """The host name, or one made from the machine's identity where the name is a common one"""
    return sources.device_id_of(os.uname().nodename, sources.machine_mark())


def _state_dir() -> Path:
    """`state` in `$STATE_DIRECTORY`, /var/lib/edge-agent (root) or ~/.local/share/edge-agent"""
    return sources.default_data_dir(os.environ) / "state"


def _recordings_dir() -> Path:
    """`recordings` in the same place as `device.state_dir`"""
    return sources.default_data_dir(os.environ) / "recordings"


class DeviceSettings(Section):
    id: Name = Field(default_factory=_this_device)
    """What topics and records call this device. Unique on its broker; a changed id is a new device everywhere."""
    name: Title | None = None
    """What people read in the page and in Home Assistant. Unset: the id."""
    groups: Annotated[tuple[Name, ...], Field(strict=False, max_length=32)] = ()
    """Groups whose commands (`{base}/@group/cmd/...`) this device obeys, besides `@all`."""
    state_dir: FilePath = Field(default_factory=_state_dir)
    """The agent's own memory: selected mode, command journal, tokens. Local and small; lost, defaults apply again."""

    @property
    def title(self) -> str:
        """What to call this device in front of people."""
        return self.name or self.id


class MqttSettings(Section):
    host: Host | None = None
    """The broker's name or address. Unset: a mosquitto of the agent's own, on loopback only."""
    port: Port = 1883
    """The broker's TCP port. Unset with `tls`: 8883. For the agent's own broker: the port it prefers."""
    username: Annotated[str, Field(min_length=1)] | None = None
    """Unset: connect without a name."""
    password: SecretStr | None = None
    """Prefer `password_file`: this one is readable by all who may read the configuration."""
    password_file: FilePath | None = None
    """A file that holds the password in one line; read at the start."""
    tls: bool = False
    """Encrypt, check the broker's certificate and its host name. Off by default because a new broker has no TLS."""
    ca_file: FilePath | None = None
    """Who may have signed the broker's certificate, PEM. Unset: the system's authorities."""
    cert_file: FilePath | None = None
    """The client's own certificate, PEM, for brokers that ask for one; needs `key_file`."""
    key_file: FilePath | None = None
    """The key of `cert_file`, PEM without a passphrase."""
    base_topic: Topic = "blackbox"
    """The first level or levels of all topics. Devices of one fleet share it."""
    protocol: Annotated[Literal["5", "3.1.1"], BeforeValidator(values.protocol)] = "5"
    """MQTT version. 3.1.1 for brokers without 5, at the price of response topics and expiry."""
    keepalive_s: Annotated[int, Field(ge=1, le=3600)] = 20
    """Seconds of silence before a ping. A lost device is `offline` after 1.5 times this; less costs mobile data."""

    @model_validator(mode="before")
    @classmethod
    def _default_port(cls, raw: Any) -> Any:
        return {"port": 8883} | raw if isinstance(raw, dict) and raw.get("tls") is True else raw

    @model_validator(mode="after")
    def _fits(self) -> MqttSettings:
        if self.password is not None and self.password_file is not None:
            raise ValueError("password and password_file are both set; remove password")
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("cert_file and key_file belong together; set both or none")
        if not self.tls and (self.ca_file or self.cert_file):
            raise ValueError("ca_file and cert_file need tls = true")
        if self.tls and self.host is None:
            raise ValueError("tls needs host: the agent's own broker listens on loopback without it")
        return self


class HomeAssistantSettings(Section):
    enabled: bool = True
    """Publish discovery, so that Home Assistant shows the device by itself. Without Home Assistant it is harmless."""
    discovery_prefix: Topic = "homeassistant"
    """As set in Home Assistant's MQTT integration."""
    birth_topic: Topic = "homeassistant/status"
    """Where Home Assistant says `online`; discovery is then published again."""
    suggest_entity_ids: bool = True
    """Ask for entity ids such as `switch.van7_recording`. Off: Home Assistant makes them from the names."""
    preview_interval_s: Annotated[float, Field(ge=0, le=3600)] = 10
    """Seconds between preview pictures of a running camera; 0 is off. Each one goes through the broker."""


class CameraSettings(Section):
    id: CameraId
    """What topics, folders and modes call this camera. Unset: `cam` and the place in the list."""
    index: Annotated[int, Field(ge=0, le=15)]
    """The number in `rpicam-vid --list-cameras`. Unset: the place in the list. Not looked at with `sensor`."""
    name: Title | None = None
    """What people read. Unset: the id."""
    hflip: bool = False
    """Mirror left and right."""
    vflip: bool = False
    """Mirror top and bottom."""
    rotation: Literal[0, 180] = 0
    """Degrees. The camera program turns by 0 or 180 only; 90 would cost a processor core."""
    sensor: Annotated[str, Field(min_length=1, max_length=256)] | None = None
    """Part of the sensor's path or model as listed (such as `i2c@88000`): stays right when the numbers change."""


class ModeSettings(Section):
    cameras: Annotated[tuple[CameraId, ...], Field(strict=False, min_length=1)] | None = None
    """Which cameras record. Unset: all."""
    width: Pixels = 640
    """Picture width in pixels, even."""
    height: Pixels = 480
    """Picture height in pixels, even."""
    fps: Rate = mode_tables.FPS
    """Frames a second."""
    bitrate_bps: BitRate | None = None
    """Bits a second of each camera. Unset: as for the built-in modes, by size and frame rate."""


class RecordingSettings(Section):
    root: FilePath = Field(default_factory=_recordings_dir)
    """The archive. Put it on the volume with room; the agent creates what is missing below."""
    segment_s: Annotated[int, Field(ge=1, le=3600)] = 60
    """Seconds in a file. Shorter files give space back in finer steps and cost more files."""
    bitrate_bps: BitRate | None = None
    """Bits a second of each camera in the built-in modes. Unset: 1.5, 3 and 6 Mb/s for 640, 720p and 1080p."""
    intra_s: Annotated[float, Field(ge=0.1, le=10)] = 1
    """Seconds between key frames. A power cut loses up to this plus one second; less makes files larger."""
    min_free_bytes: Bytes = Field(default=2 * 1024**3, ge=0)
    """Room that retention keeps free, in bytes or as "2GiB". The larger of this and `min_free_percent` counts."""
    min_free_percent: Percent = 5
    """The same in percent of the volume. Near 100 nearly everything unlocked is deleted."""
    max_bytes: Annotated[Bytes, Field(ge=1_000_000)] | None = None
    """The most that the archive may take, in bytes or as "50GB", pictures included. Unset: what free room allows."""
    max_age: Annotated[float, BeforeValidator(values.age_s), Field(ge=60)] | None = None
    """The oldest footage to keep, in seconds or as "30d", "12h". Unset: no limit. Rests while the clock is unsure."""
    lock_quota_percent: Percent = 30
    """How much of the volume locked footage may take, so that locks can't end recording. 0: nothing may be locked."""
    autostart: bool = False
    """Record in the selected mode from the agent's start on. Off: a camera records when somebody asks for it."""


class LiveSettings(Section):
    width: Pixels = 640
    """Width in pixels of the live picture, even."""
    height: Pixels = 480
    """Height in pixels of the live picture, even."""
    fps: Rate = mode_tables.FPS
    """Pictures a second; each viewer may ask for fewer."""
    quality: Annotated[int, Field(ge=1, le=100)] = 80
    """JPEG quality. 80 is about 50 kB a picture at 640x480, 1.5 MB a second for each viewer."""
    linger_s: Annotated[float, Field(ge=0, le=3600)] = 5
    """Seconds that a camera stays on after its last viewer, so that a reload does not restart it."""
    max_viewers: Annotated[int, Field(ge=0, le=1000)] = 32
    """Viewers at a time over all cameras; more get 503. 0 turns live view off."""


class WebSettings(Section):
    host: Host = "127.0.0.1"
    """The address to listen on. Others than loopback (`0.0.0.0`: all) need `tokens_file` or `allow_anonymous`."""
    port: Annotated[int, Field(ge=0, le=65535)] = 8080
    """The TCP port; 0 takes any free one and logs it."""
    tls: bool = False
    """Speak HTTPS; needs `cert_file` and `key_file`."""
    cert_file: FilePath | None = None
    """The server's certificate chain, PEM."""
    key_file: FilePath | None = None
    """The key of `cert_file`, PEM without a passphrase."""
    tokens_file: FilePath | None = None
    """Who may view and who may operate. A missing file is created with one token at the start."""
    cors_origins: Annotated[tuple[Origin, ...], Field(strict=False)] = ()
    """Origins of other pages that may call the API, such as `https://fleet.example`. Empty: none."""
    allow_anonymous: bool = False
    """Let everybody who reaches the port view and operate. For networks that you trust with that."""

    @model_validator(mode="after")
    def _fits(self) -> WebSettings:
        if self.tls and (self.cert_file is None or self.key_file is None):
            raise ValueError("tls needs cert_file and key_file")
        if not self.tls and (self.cert_file or self.key_file):
            raise ValueError("cert_file and key_file need tls = true")
        if not (values.is_loopback(self.host) or self.tokens_file or self.allow_anonymous):
            raise ValueError(f"host {self.host} is open to others: set tokens_file, or allow_anonymous = true")
        return self


class TelemetrySettings(Section):
    interval_s: Annotated[float, Field(ge=1, le=86400)] = 30
    """Seconds between telemetry documents of about 1 kB. Those that come late are dropped after three intervals."""


class RpicamSettings(Section):
    command: Annotated[str, Field(min_length=1)] = "rpicam-vid"
    """The camera program, by name or path, or `simulated` for test pictures without a camera."""
    extra_args: Annotated[tuple[str, ...], Field(strict=False)] = ()
    """Further arguments for every camera, such as `["--denoise", "cdn_off"]`; not those the agent gives."""


def _two_cameras() -> tuple[CameraSettings, ...]:
    """cam0 and cam1 at index 0 and 1"""
    return (CameraSettings(id="cam0", index=0), CameraSettings(id="cam1", index=1))


class Config(Section):
    """Everything that can be configured. `Config()` is the zero configuration of this machine."""

    device: DeviceSettings = Field(default_factory=DeviceSettings)
    mqtt: MqttSettings = Field(default_factory=MqttSettings)
    homeassistant: HomeAssistantSettings = Field(default_factory=HomeAssistantSettings)
    cameras: Annotated[tuple[CameraSettings, ...], Field(strict=False, min_length=1, max_length=8)] = Field(
        default_factory=_two_cameras
    )
    modes: dict[ModeName, ModeSettings] = Field(default_factory=dict)
    recording: RecordingSettings = Field(default_factory=RecordingSettings)
    live: LiveSettings = Field(default_factory=LiveSettings)
    web: WebSettings = Field(default_factory=WebSettings)
    telemetry: TelemetrySettings = Field(default_factory=TelemetrySettings)
    rpicam: RpicamSettings = Field(default_factory=RpicamSettings)
    offload: OffloadSettings = Field(default_factory=OffloadSettings)

    _source: Path | None = PrivateAttr(default=None)
    _variables: tuple[str, ...] = PrivateAttr(default=())
    _trouble: str | None = PrivateAttr(default=None)

    @model_validator(mode="before")
    @classmethod
    def _number_cameras(cls, raw: Any) -> Any:
        """Give each camera without one the id and index of its place in the list."""
        if not isinstance(raw, dict) or not isinstance(cameras := raw.get("cameras"), list):
            return raw
        numbered = [
            {"id": f"cam{place}", "index": place} | camera if isinstance(camera, dict) else camera
            for place, camera in enumerate(cameras)
        ]
        return raw | {"cameras": numbered}

    @model_validator(mode="after")
    def _fits(self) -> Config:
        ids = [camera.id for camera in self.cameras]
        indexes = [camera.index for camera in self.cameras if camera.sensor is None]
        wrong = [f"cameras: two have the id {name}" for name in sorted({name for name in ids if ids.count(name) > 1})]
        wrong += [f"cameras: two have the index {n}" for n in sorted({n for n in indexes if indexes.count(n) > 1})]
        wrong += [
            f"modes.{mode}.cameras: there is no camera {name}, only {', '.join(ids)}"
            for mode, settings in self.modes.items()
            for name in settings.cameras or ()
            if name not in ids
        ]
        if wrong:
            raise ValueError("; ".join(wrong))
        return self

    def model_post_init(self, context: Any, /) -> None:
        """Remember where the configuration came from, as `parse` tells."""
        if context:
            self._source = context["source"]
            self._variables = context["variables"]
            self._trouble = context["trouble"]

    @property
    def source(self) -> Path | None:
        """The file that was read; None: there was none."""
        return self._source

    @property
    def trouble(self) -> str | None:
        """Why this is not what the file says now, but the configuration of the last good start; None: it is."""
        return self._trouble

    @property
    def variables(self) -> tuple[str, ...]:
        """The environment variables that took part, without their values."""
        return self._variables

    @property
    def may_simulate(self) -> bool:
        """Whether simulated cameras may stand in for a missing program: only where nobody configured cameras."""
        return self._source is None and "command" not in self.rpicam.model_fields_set

    def camera_list(self) -> tuple[Camera, ...]:
        """The cameras as the core knows them, in configured order."""
        return tuple(
            Camera(c.id, c.index, c.name or c.id, hflip=c.hflip, vflip=c.vflip, rotation=c.rotation, sensor=c.sensor)
            for c in self.cameras
        )

    def mode_table(self) -> dict[str, Mode]:
        """Every mode by name: the built-in ones for these cameras, then the configured ones, which may replace them."""
        ids = tuple(camera.id for camera in self.cameras)
        table = mode_tables.built_in(ids, self.recording.bitrate_bps, self.live_profile())
        for name, mode in self.modes.items():
            rate = mode.bitrate_bps or mode_tables.bitrate_bps(mode.width, mode.height, mode.fps)
            profile = Profile(mode.width, mode.height, mode.fps, bitrate_bps=rate)
            table[name] = Mode(name, mode.cameras or ids, Purpose.RECORD, (Step(profile),))
        return table

    def default_mode(self) -> str:
        """The mode that is selected until somebody selects one: 640x480 on both cameras, else the first one's."""
        table = self.mode_table()
        return "dual-640" if "dual-640" in table else next(iter(table))

    def live_profile(self) -> Profile:
        """The picture of live view."""
        return Profile(self.live.width, self.live.height, self.live.fps, quality=self.live.quality)
