"""Where model bundles lie on this machine, which there are, and whether they are as they were shipped."""

from __future__ import annotations

import difflib
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from edge_agent.errors import ModelError
from edge_agent.vlm.bundle import VISION, Bundle
from edge_agent.vlm.manifest import file_problems
from edge_agent.vlm.pulled import is_pulled, manifest_of

DAMAGED = "damaged"
_PACKAGE = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class BundleInfo:
    """One bundle that can be used by name."""

    name: str
    path: Path
    version: str
    size_bytes: int
    encoder_id: str
    has_vision: bool


def search_path() -> list[Path]:
    """Folders of bundles, the first with a name wins: EDGE_AGENT_MODELS, the user's data folder, that of this Python's
    environment, the shipped ones.
    """
    given = [Path(part) for part in os.environ.get("EDGE_AGENT_MODELS", "").split(os.pathsep) if part]
    try:
        data = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    except RuntimeError:  # a user that systemd makes has no home
        data = Path("/nonexistent")
    shipped = [_PACKAGE / "models"]
    if (_PACKAGE.parent / "pyproject.toml").is_file():  # a checkout: its models are beside the package
        shipped.append(_PACKAGE.parent / "models")
    ours = Path(sys.prefix) / "share" / "edge-agent" / "models"
    return [*given, data / "edge-agent" / "models", ours, *shipped]


def _bundles() -> dict[str, Path]:
    """Name of the folder to folder, of every bundle on the search path."""
    found: dict[str, Path] = {}
    for folder in search_path():
        try:
            paths = sorted(folder.iterdir())
        except OSError:  # not there, no folder, or somebody else's
            continue
        for path in paths:
            if not path.name.startswith(".") and _is_bundle(path):  # what is being pulled is not there yet
                found.setdefault(path.name, path)
    return found


def _is_bundle(path: Path) -> bool:
    """Has a manifest, or is as model hubs give it away."""
    return os.path.isfile(path / "manifest.json") or is_pulled(path)  # noqa: PTH113 - never raises


def find_bundle(name_or_path: str | Path) -> Path:
    """The folder of a bundle, given by path or by name. Raises ModelError naming the nearest known one."""
    if not str(name_or_path):
        raise ModelError("the model's name is empty", "edge-agent models list")
    try:
        path = Path(name_or_path).expanduser()
    except RuntimeError as error:
        raise ModelError(f"{str(name_or_path)[:200]}: {error}", "write the path without ~") from error
    if _is_bundle(path):
        return path
    known = _bundles()
    if str(name_or_path) in known:
        return known[str(name_or_path)]
    if path.is_dir():
        raise ModelError(f"{path} is not a model bundle: it has no manifest.json", "edge-agent models list")
    near = difflib.get_close_matches(str(name_or_path), known, n=1, cutoff=0.4)
    hint = (
        f"did you mean {near[0]}?" if near else f"known here: {', '.join(known) or 'none'}; see edge-agent models list"
    )
    raise ModelError(f"there is no model bundle {str(name_or_path)!r}", hint)


def open_bundle(
    name_or_path: str | Path, *, verify: bool = True, splitting: bool | None = None, provider: str = "cpu"
) -> Bundle:
    """The bundle of that name or path. `NAME@int8` opens a pulled one in that precision (fp32, fp16, q4, ...).
    `splitting` and `provider` as in Bundle.open.

    Raises ModelError.
    """
    name, at, precision = str(name_or_path).rpartition("@")
    variant = None
    if at and not _is_bundle(Path(name_or_path)):
        name_or_path, variant = name, "" if precision == "fp32" else precision
    path = find_bundle(name_or_path)
    return Bundle.open(path, verify=verify, variant=variant, splitting=splitting, provider=provider)


def list_bundles() -> list[BundleInfo]:
    """Every bundle on the search path, by name. One whose manifest cannot be read has the version "damaged"."""
    made = []
    for name, path in sorted(_bundles().items()):
        try:
            manifest = manifest_of(path)
        except ModelError:
            made.append(BundleInfo(name, path, DAMAGED, 0, "", False))
            continue
        has_vision = any(entry.name.startswith(VISION.removesuffix(".onnx")) for entry in manifest.files)
        made.append(BundleInfo(name, path, manifest.version, manifest.size_bytes, manifest.encoder_id, has_vision))
    return made


def verify_bundle(path: Path) -> list[str]:
    """What is wrong with a bundle, one line each; empty if every byte is as the manifest says."""
    try:
        return file_problems(path, manifest_of(path))
    except ModelError as error:
        return [error.message]
