"""How much memory a model takes while it answers: measured in a process of its own, ours and plain ONNX Runtime."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from edge_agent.cli.bench.machine import machine
from edge_agent.cli.bench.vlm_floats import unpacked
from edge_agent.vlm import Bundle
from edge_agent.vlm.bundle import DECODER

STATUS = Path("/proc/self/status")
WAYS = ("ours", "plain")
TIMEOUT_S = 600.0


def memory_row(bundle: Bundle, variant: str, threads: int) -> dict[str, Any]:
    """Resident MiB after encoding and answering, and their peak; None where the system does not say."""
    found = {way: _measured(way, bundle.path, bundle.graph(DECODER), threads) for way in WAYS}
    return {
        "bench": "vlm",
        "case": "memory",
        "size": bundle.name,
        "ours_mb": found["ours"]["resident_mb"],
        "ours_peak_mb": found["ours"]["peak_mb"],
        "peers": {"onnxruntime": found["plain"]},
        "machine": machine(),
        "threads": threads,
        "variant": variant,
    }


def _measured(way: str, folder: Path, decoder: Path, threads: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "edge_agent.cli.bench.vlm_memory", way, str(folder), str(decoder), str(threads)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=TIMEOUT_S)
    try:
        made: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        made = {"resident_mb": None, "peak_mb": None, "error": done.stderr.strip()[-200:]}
    return made


def _work(way: str, folder: Path, decoder: Path, threads: int) -> None:
    """Encode and answer once, one of the WAYS. What was made is still there when the memory is read."""
    from edge_agent.cli.bench.vlm import drawn
    from edge_agent.cli.bench.vlm_scene import QUESTION, TOKENS, Plain, Scene, numbers
    from edge_agent.vlm.writers import writer_of

    variant = decoder.stem.removeprefix("decoder_model_merged").removeprefix("_")
    bundle = Bundle.open(folder, variant=variant)
    if decoder.parent != bundle.graph(DECODER).parent:
        bundle = unpacked(bundle, decoder.parent)
    if way == "ours":
        scene = Scene(bundle, drawn(), threads)
        scene.encode()
        scene.prefill()
        scene.decode()
        return
    prompt = writer_of(bundle).write(numbers(bundle), QUESTION, (), TOKENS)
    plain = Plain(bundle, drawn(), threads, prompt, [bundle.vocab_size - 1] * TOKENS)
    plain.encode()
    plain.decode()


def _status(key: str) -> float | None:
    """MiB of one line of /proc/self/status."""
    try:
        for line in STATUS.read_text("ascii").splitlines():
            if line.startswith(key + ":"):
                return round(int(line.split()[1]) / 1024, 1)
    except (OSError, ValueError):
        return None
    return None


if __name__ == "__main__":
    _work(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]))
    sys.stdout.write(json.dumps({"resident_mb": _status("VmRSS"), "peak_mb": _status("VmHWM")}) + "\n")
