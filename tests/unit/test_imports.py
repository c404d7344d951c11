"""The table of who may import whom, and what `import edge_agent` must not drag in."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BASE = {"types", "errors", "clock", "values", "config"}
ALLOWED: dict[str, set[str]] = {
    "types": set(),
    "errors": set(),
    "clock": set(),
    "heap": set(),
    "values": set(),
    "uplink": set(),
    "config": {"errors"},
    "picture_header": {"errors"},
    "sources": {"types", "errors", "clock", "config", "picture_header"},
    "monitors": {"types", "errors", "clock", "config", "uplink"},
    "summary": {"types"},
    "features": {"types", "summary", "_core"},
    "policy": {"types", "summary", "config"},
    "transport": {"types", "errors", "clock", "config", "picture_header", "_core"},
    "vlm": {"types", "errors", "_core"},
    "voice": {"types", "errors", "vlm"},
    "store": {"types", "errors", "config", "clock", "values", "vlm"},
    "engines": {"types", "errors", "config", "clock", "uplink", "vlm", "transport", "store"},
    "sim": {"types", "errors", "config", "values", "policy", "summary", "clock", "uplink", "monitors", "turn"},
    "turn": {"types", "errors", "clock"},
    "triggers": {"types", "config"},
    "hedging": {"types", "errors", "clock"},
    "parts": {"types", "errors", "clock", "engines", "policy", "hedging"},
    "overdue": {"errors"},
    "recording": {"parts"},
    "attempts": {"types", "errors", "engines", "parts", "turn", "hedging"},
    "agent": {
        *("types", "errors", "clock", "engines", "policy", "parts"),
        *("turn", "attempts", "overdue", "recording", "hedging"),
    },
    "look_back": {"types"},
    "asked": {"types", "parts", "triggers"},
    "watch": {"types", "errors", "config", "parts", "triggers", "overdue", "look_back", "asked"},
}
EVERYTHING = {"api", "cli", "mqtt", "service", "__main__"}
CLOUD = {"types", "errors", "clock", "heap", "transport", "vlm"}


def imported(path: Path, package: str) -> set[str]:
    """First-level names of `package` that a file imports, at any depth."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith(package + ".")}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            if node.module == package:
                found |= {alias.name for alias in node.names if not alias.name.startswith("__version")}
            elif node.module and node.module.startswith(package + "."):
                found.add(node.module.split(".")[1])
    return found


def room_of(path: Path) -> str:
    parts = path.relative_to(ROOT / "edge_agent").parts
    return parts[0].removesuffix(".py")


FILES = sorted((ROOT / "edge_agent").rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_room_imports_only_what_the_table_allows(path: Path) -> None:
    room = room_of(path)
    if room in EVERYTHING or room == "__init__":
        return
    assert room in ALLOWED, f"{room} is a new room: give it a row in the table, with a reason in docs/decisions"
    extra = imported(path, "edge_agent") - ALLOWED[room] - {room}
    assert not extra, f"{room} may not import {sorted(extra)}"


@pytest.mark.parametrize("path", sorted((ROOT / "cloud_stub").rglob("*.py")), ids=lambda p: str(p.relative_to(ROOT)))
def test_the_cloud_uses_only_the_base_transport_and_vlm(path: Path) -> None:
    assert imported(path, "edge_agent") <= CLOUD


def test_import_edge_agent_stays_light() -> None:
    heavy = "onnxruntime cv2 aiohttp av tokenizers sounddevice numpy rich click"
    code = f"import sys, edge_agent; print([m for m in {heavy.split()!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_help_loads_no_engine() -> None:
    code = (
        "import sys; from edge_agent.cli.main import main; main(['--help']); "
        "print([m for m in ('onnxruntime', 'cv2', 'aiohttp', 'av') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("[]")
