from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.core.model import Camera
from edge_agent.rpicam.probe import (
    SIMULATED_PROGRAM,
    Abilities,
    CameraInfo,
    ProbeFailed,
    ProbeReason,
    bind,
    has_hardware_encoder,
    list_cameras,
    parse_cameras,
    parse_libav,
    parse_version,
    probe,
)

SAMPLES = Path(__file__).parent / "samples"
NO_MODEL = Path("/nonexistent/model")
PATIENCE_S = 30
FRONT = CameraInfo(0, "imx708", 4608, 2592, "/base/axi/pcie@1000120000/rp1/i2c@88000/imx708@1a")
REAR = CameraInfo(1, "imx708_wide", 4608, 2592, "/base/axi/pcie@1000120000/rp1/i2c@80000/imx708@1a")


def sample(name: str) -> str:
    return (SAMPLES / f"{name}.stdout").read_text("utf-8")


def install(
    folder: Path, name: str, *, version: str = "version", cameras: str = "list-cameras-2", say: str = ""
) -> Path:
    """Put a program into `folder` that answers as the real one did, or does what `say` says."""
    folder.mkdir(exist_ok=True)
    program = folder / name
    answers = {"--version": version, "--list-cameras": cameras}
    cases = "".join(f"{option}) cat {SAMPLES}/{name}.stdout;;\n" for option, name in answers.items())
    program.write_text(f"#!/bin/sh\n{say}" if say else f'#!/bin/sh\ncase "$1" in\n{cases}esac\n', "utf-8")
    program.chmod(0o755)
    return program


def environ(*folders: Path) -> dict[str, str]:
    return {"PATH": ":".join(map(str, [*folders, "/usr/bin", "/bin"]))}


async def test_the_installed_program_is_found_and_known(tmp_path: Path) -> None:
    program = install(tmp_path, "rpicam-vid")
    install(tmp_path, "libcamera-vid", version="version-1.8.1")
    abilities = await probe("rpicam-vid", environ=environ(tmp_path), model_path=NO_MODEL, timeout_s=PATIENCE_S)
    assert abilities == Abilities((str(program),), (1, 13, 0), "1.13.0", has_libav=True, hardware_encoder=False)
    assert abilities.recording_problem is None
    assert await list_cameras(abilities, environ=environ(), timeout_s=PATIENCE_S) == (FRONT, REAR)


async def test_the_program_is_found_under_its_old_name(tmp_path: Path) -> None:
    program = install(tmp_path, "libcamera-vid", version="version-1.8.1")
    abilities = await probe("rpicam-vid", environ=environ(tmp_path), model_path=NO_MODEL, timeout_s=PATIENCE_S)
    assert isinstance(abilities, Abilities)
    assert abilities.program == (str(program),)
    assert abilities.version == (1, 8, 1)


async def test_a_program_may_be_named_by_its_path(tmp_path: Path) -> None:
    program = install(tmp_path / "a b", "my camera")
    abilities = await probe(str(program), environ=environ(), model_path=NO_MODEL, timeout_s=PATIENCE_S)
    assert isinstance(abilities, Abilities)
    assert abilities.program == (str(program),)


async def test_no_camera_is_an_empty_list(tmp_path: Path) -> None:
    install(tmp_path, "rpicam-vid", cameras="list-cameras-0")
    abilities = await probe("rpicam-vid", environ=environ(tmp_path), model_path=NO_MODEL, timeout_s=PATIENCE_S)
    assert isinstance(abilities, Abilities)
    assert await list_cameras(abilities, environ=environ(), timeout_s=PATIENCE_S) == ()


@pytest.mark.parametrize(
    ("say", "reason", "message"),
    [
        ("exec sleep 60", ProbeReason.TIMEOUT, "gave no answer in 0.5 s"),
        (
            "echo 'libcamera.so.0.5: cannot open shared object file' >&2; exit 127",
            ProbeReason.FAILED,
            "cannot open shared",
        ),
        ("kill -SEGV $$", ProbeReason.FAILED, "exit code -11: no message"),
    ],
)
async def test_a_program_without_an_answer_says_why(
    say: str, reason: ProbeReason, message: str, tmp_path: Path
) -> None:
    install(tmp_path, "rpicam-vid", say=say)
    timeout_s = 0.5 if reason is ProbeReason.TIMEOUT else PATIENCE_S
    failed = await probe("rpicam-vid", environ=environ(tmp_path), model_path=NO_MODEL, timeout_s=timeout_s)
    assert isinstance(failed, ProbeFailed)
    assert failed.reason is reason
    assert message in failed.message


@pytest.mark.parametrize("command", ["rpicam-vid", "other-program", "/nonexistent/rpicam-vid", "x" * 5000, "a\0b"])
async def test_a_program_that_is_not_there_is_named_with_what_to_do(command: str, tmp_path: Path) -> None:
    failed = await probe(command, environ={"PATH": str(tmp_path)}, model_path=NO_MODEL)
    assert isinstance(failed, ProbeFailed)
    assert failed.reason is ProbeReason.NOT_FOUND
    assert command in failed.message
    assert "sudo apt install rpicam-apps" in failed.message


async def test_a_file_that_is_no_program_is_told_apart(tmp_path: Path) -> None:
    (tmp_path / "rpicam-vid").write_text("", "utf-8")
    failed = await probe(str(tmp_path / "rpicam-vid"), environ=environ(), model_path=NO_MODEL)
    assert isinstance(failed, ProbeFailed)
    assert failed.reason is ProbeReason.NOT_EXECUTABLE
    (tmp_path / "broken").write_text("#!/nonexistent/interpreter\n", "utf-8")
    (tmp_path / "broken").chmod(0o755)
    failed = await probe(str(tmp_path / "broken"), environ=environ(), model_path=NO_MODEL)
    assert isinstance(failed, ProbeFailed)
    assert failed.reason is ProbeReason.NOT_EXECUTABLE


async def test_a_pi_4_encodes_in_hardware(tmp_path: Path) -> None:
    install(tmp_path, "rpicam-vid")
    model = tmp_path / "model"
    model.write_bytes(b"Raspberry Pi 4 Model B Rev 1.4\0")
    abilities = await probe("rpicam-vid", environ=environ(tmp_path), model_path=model, timeout_s=PATIENCE_S)
    assert isinstance(abilities, Abilities)
    assert abilities.hardware_encoder


@pytest.mark.parametrize(
    ("model", "encoder"),
    [
        ("Raspberry Pi 3 Model B Plus Rev 1.3", True),
        ("Raspberry Pi 4 Model B Rev 1.4", True),
        ("Raspberry Pi 400 Rev 1.0", True),
        ("Raspberry Pi Compute Module 4 Rev 1.0", True),
        ("Raspberry Pi Compute Module 4S Rev 1.0", True),
        ("Raspberry Pi Zero 2 W Rev 1.0", True),
        ("Raspberry Pi Model B Plus Rev 1.2", True),
        ("Raspberry Pi 5 Model B Rev 1.0", False),
        ("Raspberry Pi 500 Rev 1.0", False),
        ("Raspberry Pi Compute Module 5 Rev 1.0", False),
        ("Radxa ROCK 4", False),
        ("", False),
    ],
)
def test_boards_with_an_encoder_are_known(model: str, encoder: bool) -> None:
    assert has_hardware_encoder(model) is encoder


@pytest.mark.parametrize(
    ("text", "version"),
    [
        (sample("version"), (1, 13, 0)),
        (sample("version-1.8.1"), (1, 8, 1)),
        ("libcamera-apps build: v1.2.2 abc 25-01-2023 (12:00:00)\nlibcamera build: v0.0.4\n", (1, 2, 2)),
        ("rpicam-apps build: v1.6 abc\n", (1, 6, 0)),
        ("rpicam-apps build: 7e4d3d71867f 25-01-2023\n", None),
        ("", None),
    ],
)
def test_the_version_is_read(text: str, version: tuple[int, int, int] | None) -> None:
    assert parse_version(text) == version


def test_the_lite_package_is_told_apart() -> None:
    assert parse_libav(sample("version"), (1, 13, 0))
    assert not parse_libav(sample("version").replace("libav:1", "libav:0"), (1, 13, 0))
    assert not parse_libav("rpicam-apps build: v1.6.0\n", (1, 6, 0))
    assert parse_libav("rpicam-apps build: v1.4.2\n", (1, 4, 2))


@pytest.mark.parametrize(
    ("version", "has_libav", "problem"),
    [
        ((1, 13, 0), True, None),
        ((1, 4, 1), True, None),
        ((1, 4, 0), True, "too old to record"),
        ((0, 0, 0), True, "too old to record"),
        ((1, 13, 0), False, "sudo apt install rpicam-apps"),
    ],
)
def test_why_a_program_cannot_record_is_told(
    version: tuple[int, int, int], has_libav: bool, problem: str | None
) -> None:
    told = Abilities(("rpicam-vid",), version, "1", has_libav, hardware_encoder=False).recording_problem
    assert told is None if problem is None else told is not None and problem in told


def test_the_listed_cameras_are_read() -> None:
    assert parse_cameras(sample("list-cameras-0")) == ()
    assert parse_cameras(sample("list-cameras-1")) == (FRONT,)
    assert parse_cameras(sample("list-cameras-2")) == (FRONT, REAR)
    # Versions from before 2023 name the size only, and their modes differ.
    old = (
        "0 : ov5647 [2592x1944] (/base/soc/i2c0mux/i2c@1/ov5647@36)\n    Modes: 'SGBRG10_CSI2P' : 640x480 (30.00 fps)\n"
    )
    assert parse_cameras(old) == (CameraInfo(0, "ov5647", 2592, 1944, "/base/soc/i2c0mux/i2c@1/ov5647@36"),)


def camera(name: str, index: int, sensor: str | None = None) -> Camera:
    return Camera(name, index, name, sensor=sensor)


def test_cameras_are_bound_by_index() -> None:
    binding = bind([camera("cam0", 0), camera("cam1", 1), camera("cam2", 2)], [FRONT, REAR])
    assert binding.indexes == {"cam0": 0, "cam1": 1}
    assert list(binding.missing) == ["cam2"]
    assert "index 2" in binding.missing["cam2"]
    assert FRONT.path in binding.missing["cam2"]


@pytest.mark.parametrize("sensor", ["i2c@80000", "imx708_wide", "wide", REAR.path, "80000/imx708@1a"])
def test_a_sensor_outranks_the_index(sensor: str) -> None:
    assert bind([camera("front", 0, sensor)], [FRONT, REAR]).indexes == {"front": 1}


def test_a_whole_model_name_outranks_a_part_of_another() -> None:
    binding = bind([camera("front", 1, "imx708"), camera("rear", 0, "imx708_wide")], [FRONT, REAR])
    assert binding.indexes == {"front": 0, "rear": 1}


def test_a_sensor_that_fits_two_cameras_binds_none() -> None:
    binding = bind([camera("front", 0, "imx708@1a")], [FRONT, REAR])
    assert binding.indexes == {}
    assert "more than one" in binding.missing["front"]


def test_a_swapped_camera_is_not_given_to_the_next_one_by_index() -> None:
    binding = bind([camera("front", 0), camera("rear", 1, "i2c@88000")], [FRONT, REAR])
    assert binding.indexes == {"rear": 0}
    assert "already rear" in binding.missing["front"]


def test_without_any_camera_all_are_missing() -> None:
    binding = bind([camera("cam0", 0), camera("cam1", 1, "imx708")], [])
    assert set(binding.missing) == {"cam0", "cam1"}
    assert all("Found: none" in reason for reason in binding.missing.values())


@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.none() | st.sampled_from(["imx708", "i2c@80000", "708", "x"])), max_size=4
    ),
    st.lists(st.sampled_from([FRONT, REAR]), unique=True, max_size=2),
)
def test_every_camera_is_either_bound_alone_or_missing(
    wanted: list[tuple[int, str | None]], infos: list[CameraInfo]
) -> None:
    cameras = [camera(f"cam{number}", index, sensor) for number, (index, sensor) in enumerate(wanted)]
    binding = bind(cameras, infos)
    assert {*binding.indexes, *binding.missing} == {item.id for item in cameras}
    assert len(binding.indexes) + len(binding.missing) == len(cameras)
    assert len(set(binding.indexes.values())) == len(binding.indexes)


async def test_the_simulated_program_answers_like_the_real_one() -> None:
    abilities = await probe("simulated", environ=os.environ, timeout_s=PATIENCE_S)
    assert isinstance(abilities, Abilities), abilities
    assert abilities.program == SIMULATED_PROGRAM
    assert abilities.simulated
    assert not abilities.hardware_encoder
    assert abilities.recording_problem is None
    cameras = await list_cameras(abilities, environ=os.environ, timeout_s=PATIENCE_S)
    assert isinstance(cameras, tuple)
    assert [info.index for info in cameras] == [0, 1]
