"""The two sides of the lab as real processes, each on its core: `python -m cloud_stub`, and an agent."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, TypeAlias

from tools.netlab.packets import PacketLink
from tools.netlab.streams import StreamLink

START_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 10.0
Link: TypeAlias = PacketLink | StreamLink


@dataclass(frozen=True, slots=True)
class Route:
    """One way to answer: what `--route` is given, and what stands in `[cloud]`."""

    route: str
    cloud: Mapping[str, Any]


ROUTES: Mapping[str, Route] = {
    "local": Route("local", {}),
    "cloud": Route("cloud", {"verify": "off"}),
    "jpeg": Route("cloud", {"codec": "jpeg"}),
    "jpeg-small": Route("cloud", {"codec": "jpeg", "picture_side": 224, "picture_quality": 50}),
    "webp": Route("cloud", {"codec": "webp"}),
    "verified": Route("cloud", {"verify": "auto"}),
    "auto": Route("auto", {}),
}


@dataclass(frozen=True, slots=True)
class Asking:
    """What every cell asks: the questions, and how the agent is set up."""

    data: Path
    limit: int
    seed: int
    policy: str | None
    deadline_ms: float
    cloud_model: str
    edge_core: int | None


class CloudSide:
    """Use as `with`: the cloud in its own process; `url` is how the edge reaches it."""

    def __init__(self, link: Link, core: int | None, arguments: Sequence[str]) -> None:
        self._link = link
        self._core = core
        self._command = [
            *(*link.in_cloud, sys.executable, "-m", "cloud_stub"),
            *("--host", link.cloud_host, "--port", "0", "--json", *arguments),
        ]
        self._process: subprocess.Popen[str] | None = None
        self.url = ""

    def __enter__(self) -> CloudSide:
        self._process = subprocess.Popen(
            self._command, stdout=subprocess.PIPE, text=True, preexec_fn=_on_core(self._core)
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit("the cloud did not start; its words are above")
        self.url = self._link.url_for(int(json.loads(line)["port"]))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            _end(self._process)


class EdgeSide:
    """Use as `with`: the agent of one route in its own process, with nothing learned earlier; its files are in
    `folder`. It starts at once, `ask` waits until it has. Raises SystemExit with its words.
    """

    def __init__(self, link: Link, url: str, name: str, asking: Asking, folder: Path) -> None:
        self.name = name
        self._log = folder / "stderr"
        route, settings = ROUTES[name], folder / "lab.toml"
        settings.write_text(_toml({"cloud": {"url": url, **route.cloud}, "run": {"state_dir": str(folder / "state")}}))
        self._command = [*link.in_edge, sys.executable, "-m", "tools.netlab.edge", "--config", str(settings)]
        self._command += ["--route", route.route, "--deadline-ms", str(asking.deadline_ms)]
        if asking.policy is not None and route.route == "auto":
            self._command += ["--policy", asking.policy]
        self._core = asking.edge_core
        self._ready = False
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> EdgeSide:
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                preexec_fn=_on_core(self._core),
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            _end(self._process)

    def wait(self) -> None:
        """Until it can be asked."""
        if not self._ready:
            self._ready = self._line()["ready"]

    def ask(self, image: Path, question: str) -> dict[str, Any]:
        """What came of one question: tools.netlab.edge.Told as an object."""
        self.wait()
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"image": str(image), "question": question}) + "\n")
        self._process.stdin.flush()
        return self._line()

    def _line(self) -> dict[str, Any]:
        assert self._process is not None
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            words = self._log.read_text(encoding="utf-8", errors="replace").strip()[-500:]
            raise SystemExit(f"the agent of the route {self.name} ended with {self._process.wait()}: {words}")
        row: dict[str, Any] = json.loads(line)
        return row


def two_cores() -> tuple[int | None, int | None]:
    """A core for the edge and one for the cloud; none where there is only one."""
    cores = sorted(os.sched_getaffinity(0))
    return (cores[0], cores[1]) if len(cores) > 1 else (None, None)


def _end(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGTERM)
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _on_core(core: int | None) -> Callable[[], None] | None:
    return None if core is None else lambda: os.sched_setaffinity(0, {core})


def _toml(tree: Mapping[str, Mapping[str, Any]]) -> str:
    """Sections of texts and numbers; JSON writes both as TOML reads them."""
    lines = []
    for section, values in tree.items():
        lines += [f"[{section}]", *(f"{key} = {json.dumps(value)}" for key, value in values.items())]
    return "\n".join(lines) + "\n"
