"""What the opt-in tests with a real serving engine share: the bundle it serves, a port, and how it is stopped."""

from __future__ import annotations

import signal
import socket
import subprocess

import psutil
import pytest

from edge_agent.vlm import Bundle, find_bundle

STOP_S = 30


@pytest.fixture(scope="module", name="bundle")
def cloud_bundle() -> Bundle:
    """That of the cloud, opened for comparing."""
    return Bundle.open(find_bundle("cloud-vqa"))


def free_port() -> int:
    """One of loopback that nobody listens at."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    return port


def stop(process: subprocess.Popen[str]) -> None:
    """Ask it to end, then make it, and whatever it had started."""
    children = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
    process.send_signal(signal.SIGINT)
    try:
        process.communicate(timeout=STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
    for child in children:
        if child.is_running():
            child.kill()
