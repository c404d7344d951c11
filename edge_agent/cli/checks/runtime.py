"""Checks of what computes: Python, the kernels, the native libraries, the models. Pure functions of what was probed."""

from __future__ import annotations

import re
from dataclasses import dataclass

from edge_agent.cli.checks.base import Check, Probed, Status

SELF_TEST = 5
CANNOT_ANSWER = 4


@dataclass(frozen=True, slots=True)
class Library:
    """A native library: what is imported, and which distributions on the package index may bring it."""

    module: str
    distributions: tuple[str, ...]


LIBRARIES = (
    Library("numpy", ("numpy",)),
    Library("cv2", ("opencv-python-headless", "opencv-python")),
    Library("onnxruntime", ("onnxruntime", "onnxruntime-gpu")),
    Library("av", ("av",)),
    Library("tokenizers", ("tokenizers",)),
    Library("zstandard", ("zstandard",)),
    Library("aiohttp", ("aiohttp",)),
)
ONNXRUNTIME_FIX = "pip install 'onnxruntime>=1.20,!=1.21.0,!=1.24.*,!=1.25.*,!=1.26.*,!=1.27.0'"
REINSTALL = "pip install --force-reinstall edge-agent"
JETSON_FIX = "install the onnxruntime-gpu wheel made for this JetPack and this Python (or: pip install onnxruntime)"


def check_python(version: tuple[int, ...], machine: str, is_64_bit: bool) -> Check:
    """Python 3.10 to 3.13 on 64-bit ARM or x86: for others there are no wheels of the runtime."""
    detail = f"{'.'.join(map(str, version[:3]))} on {machine}{'' if is_64_bit else ', 32 bits'}"
    if machine not in ("aarch64", "x86_64") or not is_64_bit:
        fix = "install a 64-bit system: there is no onnxruntime for this one"
        return Check("python", Status.WARN, detail, fix)
    if not (3, 10) <= version[:2] <= (3, 13):
        return Check("python", Status.WARN, detail, "use Python 3.10 to 3.13: python3.11 -m venv .venv")
    return Check("python", Status.OK, detail)


def check_kernels(probed: Probed) -> Check:
    """The native kernels import, and compute what the reference does."""
    if probed.error:
        return Check("kernels", Status.FAIL, probed.error, REINSTALL, SELF_TEST)
    problems = probed.values["problems"]
    if problems:
        named = any("EDGE_AGENT_ISA" in problem for problem in problems)
        fix = "unset EDGE_AGENT_ISA" if named else REINSTALL
        return Check("kernels", Status.FAIL, "; ".join(problems)[:300], fix, SELF_TEST)
    isas = probed.values["available"]
    detail = f"{probed.values['isa']} in use of {', '.join(isas)}; self-test passed"
    return Check("kernels", Status.OK, detail)


def check_library(library: Library, probed: Probed, platform_release: str = "") -> Check:
    """One native library imports, and is no release known to be bad."""
    name = library.module
    if probed.error:
        return Check(name, Status.FAIL, probed.error, _library_fix(library, probed, platform_release), CANNOT_ANSWER)
    version = probed.values["version"]
    why = bad_onnxruntime(version) if name == "onnxruntime" else ""
    if why:
        return Check(name, Status.WARN, f"{version} {why}", ONNXRUNTIME_FIX)
    return Check(name, Status.OK, version)


def _library_fix(library: Library, probed: Probed, platform_release: str) -> str:
    if "numpy" in probed.error.lower() and library.module != "numpy" and "No module" not in probed.error:
        return f"pip install --upgrade --force-reinstall {library.distributions[0]} numpy (they must fit each other)"
    if library.module == "onnxruntime":
        return JETSON_FIX if "tegra" in platform_release else ONNXRUNTIME_FIX
    again = "--force-reinstall " if probed.crashed else ""
    return f"pip install {again}{library.distributions[0]}"


def bad_onnxruntime(version: str) -> str:
    """Why this release of onnxruntime is not to be used, or nothing."""
    numbers = re.match(r"(\d+)\.(\d+)(?:\.(\d+))?", version)
    if numbers is None:
        return ""
    major, minor, patch = (int(part or 0) for part in numbers.groups())
    if (major, minor, patch) == (1, 21, 0):
        return "has instructions that a Raspberry Pi 4 lacks"
    if (1, 24, 0) <= (major, minor, patch) < (1, 27, 0):
        return "leaks memory on some ARM processors"
    return "computes wrongly on some ARM processors" if (major, minor, patch) == (1, 27, 0) else ""


def check_models(probed: Probed, edge: str) -> Check:
    """Model bundles are there, and every byte of them is as it was shipped, where that can be said."""
    if probed.error:
        return Check("models", Status.FAIL, probed.error, "mend the libraries above first", CANNOT_ANSWER)
    if probed.values["error"]:
        return Check("models", Status.FAIL, probed.values["error"], REINSTALL, CANNOT_ANSWER)
    bundles = probed.values["bundles"]
    if not bundles:
        fix = f"{REINSTALL}, or set EDGE_AGENT_MODELS to a folder of bundles"
        code = 0 if "/" in edge else CANNOT_ANSWER  # one that is named by its folder needs no list
        return Check("models", Status.FAIL, "no model bundle was found", fix, code)
    damaged = {b["name"]: b["problems"][0] for b in bundles if b["problems"]}
    if damaged:
        detail = "; ".join(f"{name}: {problem}" for name, problem in damaged.items())
        code = CANNOT_ANSWER if edge in damaged else 0
        return Check("models", Status.FAIL, detail[:300], REINSTALL, code)
    said = []
    for words, compared in (("every file as shipped", True), ("of these files no hashes are known", False)):
        these = [b for b in bundles if b["compared"] is compared]
        listed = ", ".join(f"{b['name']} ({b['size_bytes'] / 1e6:.1f} MB)" for b in these)
        said += [f"{listed}: {words}"] if these else []
    return Check("models", Status.OK, "; ".join(said))


def check_answer(probed: Probed, edge: str) -> Check:
    """The device's model opens and answers what it answered when it was released."""
    if probed.error:
        return Check("answer", Status.FAIL, f"{edge}: {probed.error}", ONNXRUNTIME_FIX, CANNOT_ANSWER)
    values = probed.values
    if values["error"]:
        code = SELF_TEST if values["wrong"] else CANNOT_ANSWER
        fix = ONNXRUNTIME_FIX if values["wrong"] else values["hint"] or "edge-agent models verify"
        return Check("answer", Status.FAIL, values["error"], fix, code)
    if values["answer"] is None:
        return Check("answer", Status.UNKNOWN, f"{edge} opens, but brings no values to compare its answers with")
    detail = (
        f"{edge} opens in {values['opened_ms']:.0f} ms, loads and answers rightly in {values['answered_ms']:.0f} ms"
    )
    return Check("answer", Status.OK, detail)
