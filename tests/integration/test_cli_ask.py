"""`edge-agent ask` end to end: the shipped model, a real cloud process, real sockets, and clouds that misbehave."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge_agent.cli.main import main

KEYS = {"answer", "route", "reason", "confidence", "bytes_up", "bytes_down", "cost_usd", "timings_ms", "decision"}
STAGES = {"features", "decide", "encode", "upload", "first_token", "total"}
QUESTION = "what is on the table?"
ALWAYS_UPLOAD = "[policy]\nname = 'msao'\naccept_entropy = 0.0\n"


@pytest.fixture
def ask(photo: Path, capfd: pytest.CaptureFixture[str]) -> Callable[..., dict[str, Any]]:
    """Run `edge-agent ask` about the photo; its JSON."""

    def run(*arguments: str) -> dict[str, Any]:
        code = main(["ask", "--image", str(photo), "--json", *arguments, QUESTION])
        out, err = capfd.readouterr()
        assert code == 0, err
        assert len(out.splitlines()) == 1
        record: dict[str, Any] = json.loads(out)
        return record

    return run


def check_books(record: dict[str, Any]) -> None:
    assert set(record) >= KEYS
    timings = record["timings_ms"]
    assert set(timings) >= STAGES
    assert timings["total"] == pytest.approx(sum(ms for name, ms in timings.items() if name != "total"), abs=0.01)
    assert 0 <= record["confidence"] <= 1
    assert record["answer"]


def test_local(ask: Callable[..., dict[str, Any]]) -> None:
    record = ask("--route", "local")
    check_books(record)
    assert (record["route"], record["bytes_up"], record["cost_usd"]) == ("local", 0, 0)


def test_cloud(ask: Callable[..., dict[str, Any]], cloud: str) -> None:
    record = ask("--route", "cloud", "--cloud", cloud)
    check_books(record)
    assert record["route"] == "cloud"
    assert 0 < record["bytes_up"] < 5 * 15_000  # the picture and four tiles
    assert record["timings_ms"]["upload"] >= 0
    assert record["decision"]["plans"][0]["codec"] == "projected"


def test_auto_goes_up_when_the_draft_is_unsure(ask: Callable[..., dict[str, Any]], cloud: str, tmp_path: Path) -> None:
    config = tmp_path / "unsure.toml"
    config.write_text("[policy]\nname = 'msao'\naccept_entropy = 1e-9\n")
    record = ask("--cloud", cloud, "--config", str(config))
    check_books(record)
    assert record["decision"]["route"] == "cascade"
    assert record["route"] == "cloud"
    assert record["timings_ms"]["draft"] > 0
    assert "the cloud answers" in record["reason"]


def test_auto_keeps_a_sure_draft(ask: Callable[..., dict[str, Any]], cloud: str, tmp_path: Path) -> None:
    config = tmp_path / "sure.toml"
    config.write_text("[policy]\nname = 'msao'\naccept_entropy = 1.0\n")
    record = ask("--cloud", cloud, "--config", str(config))
    check_books(record)
    assert (record["route"], record["bytes_up"]) == ("local", 0)


def test_tmo_answers_real_questions_and_names_its_numbers(ask: Callable[..., dict[str, Any]], cloud: str) -> None:
    record = ask("--policy", "tmo", "--cloud", cloud)
    check_books(record)
    assert record["decision"]["policy"] == "tmo"
    assert record["route"] == record["decision"]["route"]
    assert record["reason"].startswith("place, turn 1, 30.0 s and 0.0500 USD left: ")
    assert 0 < record["decision"]["predicted_quality"] < 1


def test_tmo_stays_here_where_a_conversation_may_cost_nothing(
    ask: Callable[..., dict[str, Any]], cloud: str, tmp_path: Path
) -> None:
    config = tmp_path / "free.toml"
    config.write_text("[policy]\nconversation_usd = 0.0\n[cloud]\nusd_per_question = 0.001\n")
    record = ask("--policy", "tmo", "--cloud", cloud, "--config", str(config))
    assert (record["route"], record["bytes_up"]) == ("local", 0)
    assert "cloud with image breaks a budget" in record["reason"]


@pytest.mark.parametrize("route", ["cloud", "auto"])
def test_an_unreachable_cloud_is_answered_here_within_the_deadline(
    ask: Callable[..., dict[str, Any]], route: str, tmp_path: Path
) -> None:
    config = tmp_path / "unsure.toml"
    config.write_text("[policy]\nname = 'msao'\naccept_entropy = 1e-9\n")
    record = ask("--route", route, "--cloud", "http://127.0.0.1:9", "--deadline-ms", "5000", "--config", str(config))
    check_books(record)
    assert record["route"] == "local"
    assert record["bytes_up"] == 0
    assert "the cloud was not reached" in record["reason"]
    assert record["timings_ms"]["total"] <= 5000


def test_private_never_opens_a_connection(ask: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        config = tmp_path / "always.toml"
        config.write_text(ALWAYS_UPLOAD)
        for route in ("cloud", "auto"):
            record = ask("--route", route, "--private", "--cloud", url, "--config", str(config))
            assert record["route"] == "local"
            assert record["reason"].startswith("private:")
        with pytest.raises(TimeoutError):
            server.accept()


def serve(behave: Callable[[socket.socket], None]) -> tuple[str, Callable[[], None]]:
    """A TCP server that treats each connection as `behave` says; its address and how to stop it."""
    server = socket.create_server(("127.0.0.1", 0))
    stopping = threading.Event()

    def loop() -> None:
        while not stopping.is_set():
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection:
                try:
                    behave(connection)
                except OSError:
                    continue

    thread = threading.Thread(target=loop, daemon=True)
    thread.start()

    def stop() -> None:
        stopping.set()
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join(5)

    return f"http://127.0.0.1:{server.getsockname()[1]}", stop


def garbage(connection: socket.socket) -> None:
    connection.recv(4096)
    connection.sendall(bytes(range(256)) * 40)


def half_an_answer(connection: socket.socket) -> None:
    connection.recv(4096)
    connection.sendall(b"HTTP/1.1 101 Switching Prot")


def endless(connection: socket.socket) -> None:
    connection.recv(4096)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n")
    for _ in range(1024):
        connection.sendall(b"\0" * (1 << 20))


def silent(connection: socket.socket) -> None:
    connection.settimeout(10)
    while connection.recv(65536):
        continue


@pytest.mark.parametrize("behave", [garbage, half_an_answer, endless, silent])
def test_a_cloud_that_misbehaves_is_answered_here(
    ask: Callable[..., dict[str, Any]], behave: Callable[[socket.socket], None]
) -> None:
    url, stop = serve(behave)
    try:
        record = ask("--route", "cloud", "--cloud", url, "--deadline-ms", "3000")
    finally:
        stop()
    assert record["route"] == "local"
    assert "the cloud was not reached" in record["reason"]
    assert record["timings_ms"]["total"] <= 3000


def test_a_flipped_byte_in_the_model_is_refused(photo: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    import shutil

    from edge_agent.store.models import find_bundle

    bundle = shutil.copytree(find_bundle("edge-vqa"), tmp_path / "damaged")
    target = max((bundle / "onnx").iterdir(), key=lambda p: p.stat().st_size)
    content = bytearray(target.read_bytes())
    content[len(content) // 2] ^= 1
    target.write_bytes(content)
    assert main(["ask", "--image", str(photo), "--model", str(bundle), QUESTION]) == 4
    out, err = capfd.readouterr()
    assert out == ""
    assert target.name in err
    assert len(err.strip().splitlines()) == 1


def test_a_deadline_too_short_for_any_engine_is_a_typed_refusal(photo: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["ask", "--image", str(photo), "--deadline-ms", "1", "--route", "local", QUESTION]) == 4
    said = capfd.readouterr().err
    assert "no time is left" in said or "the time ran out" in said  # a fast machine begins something in that time
    assert "try a larger --deadline-ms" in said


def test_ctrl_c_at_any_time_is_one_line_and_130(photo: Path, tmp_path: Path) -> None:
    url, stop = serve(silent)
    command = [
        sys.executable,
        "-m",
        "edge_agent",
        "ask",
        "--image",
        str(photo),
        "--route",
        "cloud",
        "--cloud",
        url,
        QUESTION,
    ]
    try:
        for delay_s in (0.3, 0.8, 2.0):
            process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, cwd=tmp_path)
            time.sleep(delay_s)
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=10)
            assert process.returncode in (130, -signal.SIGINT), err  # a shell shows 130 for both
            assert out == b""
            assert len(err.strip().splitlines()) <= 1, err
    finally:
        stop()


def test_the_decision_log_holds_the_question_and_its_outcome(
    ask: Callable[..., dict[str, Any]], own_home: Path
) -> None:
    ask("--route", "local")
    (log,) = own_home.rglob("decisions.jsonl")
    record = json.loads(log.read_text())
    assert record["question"] == QUESTION
    assert record["outcome"]["route"] == "local"
    assert 0 < record["features"]["image"]["entropy_bits"] <= 8
