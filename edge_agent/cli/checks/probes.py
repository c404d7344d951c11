"""What runs in the child processes of `edge-agent doctor`: everything that imports native code. See base.probe.

Each function imports what it needs itself: there are a dozen of these processes, and each pays for what stands up here.
"""

from __future__ import annotations

import importlib
import time
from typing import Any

from edge_agent.errors import EdgeAgentError, SelfTestError


def library(module: str, distributions: list[str]) -> dict[str, Any]:
    """Import a library; its version."""
    version = getattr(importlib.import_module(module), "__version__", "")
    return {"version": str(version or _metadata_version(distributions) or "of unknown version")}


def _metadata_version(distributions: list[str]) -> str:
    from importlib import metadata

    versions = {d.metadata["Name"]: d.version for d in metadata.distributions()}
    return next((versions[name] for name in distributions if name in versions), "")


def kernels() -> dict[str, Any]:
    """Import the native kernels, compare them with the reference, and name the instruction set in use."""
    from edge_agent import features

    problems = features.selftest()
    return {
        "problems": problems,
        "isa": "" if problems else features.isa(),
        "available": list(features.available_isas()),
        "cpu": list(features.cpu_features()),
    }


def models() -> dict[str, Any]:
    """Every known bundle with what is wrong with its files; `compared`: hashes of all of them are known."""
    from edge_agent.store.models import BundleInfo, list_bundles, search_path, verify_bundle
    from edge_agent.vlm.fitness import unknown_hashes

    def found(info: BundleInfo) -> dict[str, Any]:
        facts = {"name": info.name, "size_bytes": info.size_bytes}
        return {**facts, "problems": verify_bundle(info.path), "compared": not unknown_hashes(info.path)}

    try:
        bundles = [found(info) for info in list_bundles()]
    except EdgeAgentError as error:
        return {"error": str(error), "bundles": [], "folders": []}
    folders = [str(folder) for folder in search_path() if folder.is_dir()]
    return {"error": "", "bundles": bundles, "folders": folders}


def answer(edge: str, threads: int) -> dict[str, Any]:
    """Open the device's model and let it answer about a drawn picture.

    `wrong`: it answers, but not what it did when it was released; `answer` is None if that was not recorded.
    """
    from edge_agent.store.models import find_bundle
    from edge_agent.vlm import Bundle, self_test

    started_s = time.monotonic()
    try:
        bundle = Bundle.open(find_bundle(edge))
        opened_s = time.monotonic()
        text = self_test(bundle, threads) if bundle.manifest.golden and bundle.has_vision else None
    except EdgeAgentError as error:
        return {"error": error.message, "hint": error.hint, "wrong": isinstance(error, SelfTestError)}
    opened_ms, answered_ms = (opened_s - started_s) * 1000, (time.monotonic() - opened_s) * 1000
    return {"error": "", "answer": text, "opened_ms": opened_ms, "answered_ms": answered_ms}


def state_folder(state_dir: str) -> dict[str, Any]:
    """Where decision log and ledger of a configuration with this run.state_dir lie."""
    from edge_agent.cli.paths import state_dir as resolve
    from edge_agent.config import Config, Loaded

    loaded = Loaded(Config(), {}).override("run.state_dir", state_dir, "doctor")
    return {"path": str(resolve(loaded.config))}


def microphones() -> dict[str, Any]:
    """Input devices that PortAudio sees; `missing` names what is not installed: "sounddevice" or "portaudio"."""
    try:
        import sounddevice
    except ImportError:
        return {"missing": "sounddevice", "inputs": []}
    except OSError:  # the wheel without the system's library
        return {"missing": "portaudio", "inputs": []}
    devices = sounddevice.query_devices()
    return {"missing": "", "inputs": [str(d["name"]) for d in devices if d["max_input_channels"] > 0]}


def cloud(url: str, timeout_s: float) -> dict[str, Any]:
    """Ask the cloud for its health, once. No token, no picture and no question is sent."""
    import asyncio

    from edge_agent.transport.client import CloudClient

    async def ask() -> dict[str, Any]:
        async with CloudClient(url) as client:
            health = await client.probe(timeout_s)
        return {"reachable": health.reachable, "rtt_ms": health.rtt_ms, "detail": health.detail, "misused": ""}

    try:
        return asyncio.run(ask())
    except EdgeAgentError as error:
        return {"reachable": False, "rtt_ms": None, "detail": error.message, "misused": error.hint}


def mixture() -> dict[str, Any]:
    """The OpenCV packages that are installed, and whether the system's picamera2 can be imported beside this NumPy."""
    from importlib import metadata
    from importlib.util import find_spec

    names = {str(one.metadata["Name"]).lower() for one in metadata.distributions()}
    picamera2 = ""
    if find_spec("picamera2") is not None:
        try:
            importlib.import_module("simplejpeg")
            importlib.import_module("picamera2")
            picamera2 = "fits"
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the finding
            picamera2 = f"{type(error).__name__}: {error}"[:120]
    return {"opencv": sorted(name for name in names if name.startswith("opencv-")), "picamera2": picamera2}


def provider(wanted: str) -> dict[str, Any]:
    """What runs the graphs where model.provider is `wanted`, and what this ONNX Runtime has."""
    import onnxruntime

    from edge_agent.vlm.providers import providers

    available = [str(name).removesuffix("ExecutionProvider") for name in onnxruntime.get_available_providers()]
    try:
        used = providers(wanted)[0].removesuffix("ExecutionProvider")
    except EdgeAgentError as error:
        return {"available": available, "used": "", "refused": error.message}
    return {"available": available, "used": used, "refused": ""}
