"""The two sides of the lab as real processes, each on its core: `python -m cloud_stub`, and `edge-agent eval vqa`."""

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
        process = self._process
        if process is None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()


def answers(link: Link, url: str, route: Route, asking: Asking, folder: Path) -> dict[str, Any]:
    """What `edge-agent eval vqa --json` prints of the questions by this route. Its state is in `folder`, so that
    nothing learned earlier counts. Raises SystemExit with its words.
    """
    settings = folder / "lab.toml"
    settings.write_text(_toml({"cloud": {"url": url, **route.cloud}, "run": {"state_dir": str(folder / "state")}}))
    command = [*link.in_edge, sys.executable, "-m", "edge_agent", "eval", "vqa", "--json", "--config", str(settings)]
    command += ["--data", str(asking.data), "--limit", str(asking.limit), "--seed", str(asking.seed)]
    command += ["--route", route.route, "--deadline-ms", str(asking.deadline_ms)]
    if asking.policy is not None and route.route == "auto":
        command += ["--policy", asking.policy]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, preexec_fn=_on_core(asking.edge_core), timeout=None
    )
    if done.returncode != 0:
        raise SystemExit(f"the agent ended with {done.returncode}: {done.stderr.strip()[-500:]}")
    result: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return result


def two_cores() -> tuple[int | None, int | None]:
    """A core for the edge and one for the cloud; none where there is only one."""
    cores = sorted(os.sched_getaffinity(0))
    return (cores[0], cores[1]) if len(cores) > 1 else (None, None)


def _on_core(core: int | None) -> Callable[[], None] | None:
    return None if core is None else lambda: os.sched_setaffinity(0, {core})


def _toml(tree: Mapping[str, Mapping[str, Any]]) -> str:
    """Sections of texts and numbers; JSON writes both as TOML reads them."""
    lines = []
    for section, values in tree.items():
        lines += [f"[{section}]", *(f"{key} = {json.dumps(value)}" for key, value in values.items())]
    return "\n".join(lines) + "\n"
