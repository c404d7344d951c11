"""Shows that everything a user may install has wheels for 64-bit ARM boards, on every Python that is supported.

usage: python -m tools.check_aarch64 [--python 3.10 ...] [--glibc 2.28] [--list]
Prints one JSON object a line; exit status 1: something has none. Asks the package index; nothing is installed, and
only wheels count: on such a board nothing should be compiled. By uv and not by `pip download`, which reads conditions
as `python_version < "3.11"` by the Python that it runs in itself, and so resolves another set than the board's own pip.
musl (Alpine) is not looked at: onnxruntime has no wheels for it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PROJECT = Path(__file__).resolve().parents[1] / "pyproject.toml"
PYTHONS = ("3.10", "3.11", "3.12", "3.13")
FOR_DEVELOPERS = frozenset({"test", "browser", "bench", "lint"})
GLIBC = "2.28"  # of Debian 10; Raspberry Pi OS 12 has 2.36, JetPack 5 has 2.31
NO_UV = "uv is missing: pip install uv"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--python", nargs="+", default=PYTHONS)
    parser.add_argument("--glibc", default=GLIBC, help="of the board; wheels for older ones fit, too")
    parser.add_argument("--list", action="store_true", help="print what would be looked at, and ask nobody")
    options = parser.parse_args()
    extras = extras_of(PROJECT)
    if options.list:
        print(json.dumps({"extras": extras, "pythons": list(options.python)}))
        return
    failed = False
    for row in checked(extras, options.python, options.glibc):
        print(json.dumps(row), flush=True)
        failed = failed or not row["resolves"]
    sys.exit(1 if failed else 0)


def extras_of(project: Path) -> list[str]:
    """The extras that users install."""
    table = tomllib.loads(project.read_text("utf-8"))["project"]["optional-dependencies"]
    return sorted(set(table) - FOR_DEVELOPERS)


def checked(extras: list[str], pythons: list[str], glibc: str) -> Iterator[dict[str, Any]]:
    """One row a Python and set of extras: none, each, and all at once."""
    for python in pythons:
        for chosen in ([], *([one] for one in extras), extras):
            yield {"python": python, "extras": chosen, "glibc": glibc, **resolved(chosen, python, glibc)}


def resolved(extras: list[str], python: str, glibc: str) -> dict[str, Any]:
    """Whether there are wheels of all that is needed, how many, and what uv says if there are not."""
    command = [sys.executable, "-m", "uv", "pip", "compile", str(PROJECT), "--quiet", "--no-header", "--no-annotate"]
    command += ["--python-version", python, "--python-platform", f"aarch64-manylinux_{glibc.replace('.', '_')}"]
    command += ["--only-binary", ":all:", *(f"--extra={one}" for one in extras)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    if "No module named uv" in done.stderr:
        sys.exit(NO_UV)
    if done.returncode:
        return {"resolves": False, "why": " ".join(done.stderr.split())[:600]}
    return {"resolves": True, "packages": len(done.stdout.split())}


if __name__ == "__main__":
    main()
