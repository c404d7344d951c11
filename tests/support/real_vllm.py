"""A running vLLM that serves the exported cloud model, and our own cloud before it: what `make test-vllm` starts."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from real_engines import free_port, stop

ROOT = Path(__file__).resolve().parents[2]
READY_S = 600
CONTEXT = 495
"""Tokens: the context of 512 positions, less those between the last view and the text that nothing stands at."""


def environment(**more: str) -> dict[str, str]:
    """That of this process without our settings; the source tree is what is run."""
    keep = {name: value for name, value in os.environ.items() if not name.startswith(("EDGE_AGENT_", "VLLM_"))}
    return keep | more


def exported(python: str, bundle: Path, folder: Path) -> Path:
    """The folder that vLLM serves, written by the tool."""
    command = [python, "-m", "tools.vllm.export", str(bundle), str(folder)]
    subprocess.run(command, check=True, cwd=ROOT, env=environment(), stdout=subprocess.DEVNULL)
    return folder


class Vllm:
    """`python -m vllm...api_server` with `folder` on a port of its own; `log` is where it writes."""

    def __init__(self, python: str, folder: Path, log: Path) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self._log = log
        flags = ["--host", "127.0.0.1", "--port", str(port), "--model", str(folder), "--dtype", "float32"]
        flags += ["--served-model-name", "cloud-vqa", "--max-model-len", str(CONTEXT), "--max-num-seqs", "8"]
        flags += ["--enable-mm-embeds", "--enforce-eager"]
        own = environment(
            VLLM_TARGET_DEVICE="cpu",
            VLLM_CPU_KVCACHE_SPACE="1",
            VLLM_NO_USAGE_STATS="1",
            VLLM_PLUGINS="edge_agent",
            DO_NOT_TRACK="1",
            HF_HUB_OFFLINE="1",
        )
        own.pop("PYTHONPATH", None)
        with log.open("w") as file:
            self.process = subprocess.Popen(
                [python, "-m", "vllm.entrypoints.openai.api_server", *flags],
                stdout=file,
                stderr=file,
                env=own,
                cwd=log.parent,
                text=True,
            )

    def wait(self) -> None:
        """Until it answers; AssertionError with the end of its log if it never does."""
        until_s = time.monotonic() + READY_S
        while time.monotonic() < until_s and self.process.poll() is None:
            with contextlib.suppress(urllib.error.URLError, ConnectionError):
                urllib.request.urlopen(f"{self.url}/health", timeout=5).close()
                return
            time.sleep(1)
        raise AssertionError(self._log.read_text()[-4000:])

    def answered(self) -> int:
        """How many requests it has answered so far, by its own count."""
        with urllib.request.urlopen(f"{self.url}/metrics", timeout=10) as response:
            lines = response.read().decode().splitlines()
        return round(sum(float(one.split()[-1]) for one in lines if one.startswith("vllm:request_success_total")))


@contextlib.contextmanager
def cloud(*flags: str) -> Iterator[str]:
    """The URL of `python -m cloud_stub` with `flags`."""
    process = subprocess.Popen(
        [sys.executable, "-m", "cloud_stub", "--port", "0", "--json", "--vision", "", *flags],
        stdout=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, f"the cloud did not start: {flags}"
        yield json.loads(line)["url"]
    finally:
        stop(process)
