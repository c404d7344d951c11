#!/usr/bin/env python3
"""Counts the instructions of the kernels per pixel, STFT frame or value, and holds them to their limits.

usage: tools/count_instructions.py [--isa NAME]... [--case NAME]... [--limits FILE] [--write]

Builds csrc/tests/count_kernels.cpp as it is released and runs each case once more than N and than 2 N times: the
difference is what N runs cost, without start and preparation. callgrind counts for this machine's instruction sets;
those of aarch64 are counted by a plugin of qemu-user (tools/count_plugin.cpp) where that and a cross compiler are
installed. Prints one JSON object a case and instruction set. The limits (tools/instruction_limits.json) hold for the
compiler that `compiler` names; --write lowers them to 5 % above what is counted now; raising one is an edit by hand.

exit status: 0 all within limits; 1 a build or a run failed; 2 bad usage; 3 something is not installed, with what to
type; 5 above a limit
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RUNS = 2
SLACK = 1.05
SYSROOT = os.environ.get("AARCH64_SYSROOT", "/usr/aarch64-linux-gnu")
CROSS_COMPILER = os.environ.get("AARCH64_CXX", "aarch64-linux-gnu-g++")


class Stop(Exception):
    """Why nothing can be counted, and the exit status that says so."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


def missing(message: str) -> Stop:
    return Stop(message, 3)


@dataclass(frozen=True)
class Counter:
    """A built driver and the command that counts the instructions of a run of it."""

    name: str
    driver: tuple[str, ...]
    command: tuple[str, ...]
    pattern: str
    compiler: str

    def listed(self) -> tuple[list[str], dict[str, tuple[str, float]]]:
        """Instruction sets, and per case its unit and the units in one run."""
        first, *lines = run(*self.driver).stdout.splitlines()
        rows = (line.split() for line in lines)
        return first.split()[1:], {name: (unit, float(units)) for name, unit, units in rows}

    def count(self, isa: str, case: str, units: float) -> float:
        """Instructions per unit."""
        less, more = (self._total(isa, case, runs) for runs in (RUNS, 2 * RUNS))
        return (more - less) / (RUNS * units)

    def _total(self, isa: str, case: str, runs: int) -> int:
        done = run(*self.command, isa, case, str(runs))
        found = re.search(self.pattern, done.stderr)
        if found is None:
            raise Stop(f"no count in what {self.name} says: {done.stderr[-500:]}", 1)
        return int(found.group(1).replace(",", ""))


def run(*command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if check and done.returncode != 0:
        raise Stop(f"{' '.join(command)} failed: {(done.stdout + done.stderr)[-2000:]}", 1)
    return done


def need(*tools: str, packages: str) -> None:
    for tool in tools:
        if shutil.which(tool) is None:
            raise missing(f"{tool} is missing: type apt-get install --no-install-recommends {packages}")


def build(folder: Path, *options: str) -> str:
    """The driver, built as the kernels are released."""
    generator = "Ninja" if shutil.which("ninja") else "Unix Makefiles"
    common = ("-DEDGE_AGENT_PYTHON_MODULE=OFF", "-DEDGE_AGENT_NATIVE_TESTS=ON", "-DCMAKE_BUILD_TYPE=Release")
    run("cmake", "-G", generator, "-S", str(ROOT), "-B", str(folder), *common, *options)
    run("cmake", "--build", str(folder), "-j", os.environ.get("EDGE_AGENT_JOBS", "1"), "--target", "count_kernels")
    return str(folder / "count_kernels")


def version_of(compiler: str) -> str:
    return run(compiler, "--version").stdout.splitlines()[0]


def native_counter() -> Counter:
    need("cmake", "c++", "valgrind", packages="valgrind g++ cmake make")
    driver = build(ROOT / "build" / "count")
    command = ("valgrind", "--tool=callgrind", f"--callgrind-out-file={os.devnull}", driver)
    return Counter("callgrind", (driver,), command, r"Collected : (\d+)", version_of("c++"))


def emulated_counter() -> Counter:
    """NEON on a machine that has none."""
    packages = "g++-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user g++ cmake make"
    need("cmake", "c++", CROSS_COMPILER, "qemu-aarch64", packages=packages)
    folder = ROOT / "build" / "count-neon"
    cross = ("-DCMAKE_SYSTEM_NAME=Linux", "-DCMAKE_SYSTEM_PROCESSOR=aarch64", f"-DCMAKE_CXX_COMPILER={CROSS_COMPILER}")
    driver = build(folder, *cross)
    emulator = ("qemu-aarch64", "-L", SYSROOT)
    for version in (1, 2):  # of the plugin interface
        plugin = folder / f"count_plugin{version}.so"
        flags = ("-O2", "-shared", "-fPIC", f"-DPLUGIN_VERSION={version}")
        run("c++", *flags, str(ROOT / "tools" / "count_plugin.cpp"), "-o", str(plugin))
        command = (*emulator, "-plugin", str(plugin), driver)
        if run(*command, check=False).returncode == 0:
            return Counter("qemu", (*emulator, driver), command, r"instructions: (\d+)", version_of(CROSS_COMPILER))
    raise missing("this qemu-aarch64 takes no plugins: NEON cannot be counted here")


def counters(wanted: Sequence[str]) -> list[Counter]:
    """What can count here. Raises Stop where something that was asked for by name is missing, or callgrind is."""
    emulated = platform.machine() != "aarch64" and (not wanted or any(isa.startswith("neon") for isa in wanted))
    only_emulated = emulated and bool(wanted) and all(isa.startswith("neon") for isa in wanted)
    found = [] if only_emulated else [native_counter()]
    if emulated:
        try:
            found.append(emulated_counter())
        except Stop as reason:
            if wanted or reason.status != 3:
                raise
            print(f"count_instructions: neon is not counted: {reason}", file=sys.stderr)
    return found


def measure(isas: Sequence[str], names: Sequence[str]) -> list[dict[str, Any]]:
    """One row an instruction set and case; those of the emulated machine without its scalar kernels."""
    rows: list[dict[str, Any]] = []
    for counter in counters(isas):
        available, cases = counter.listed()
        if unknown := [name for name in names if name not in cases]:
            raise Stop(f"no case is called {unknown[0]}; there are {', '.join(cases)}", 2)
        for isa in available:
            if (isas and isa not in isas) or (counter.name == "qemu" and isa == "scalar"):
                continue
            for case in names or cases:
                unit, units = cases[case]
                row = {"bench": "instructions", "case": case, "isa": isa, "unit": unit}
                counted = round(counter.count(isa, case, units), 3)
                how = {"counted_by": counter.name, "compiler": counter.compiler}
                rows.append({**row, "instructions": counted, **how})
    if absent := [isa for isa in isas if all(row["isa"] != isa for row in rows)]:
        raise Stop(f"this machine has no kernels for {absent[0]}", 2)
    return rows


def limit_of(table: dict[str, Any], kind: str, row: dict[str, Any]) -> float | None:
    value = table[kind].get(row["case"], {}).get(row["isa"])
    return None if value is None else float(value)


def write_limits(path: Path, table: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    for row in rows:
        bounds = [
            float(f"{row['instructions'] * SLACK:.4g}"),
            limit_of(table, "goals", row),
            limit_of(table, "limits", row),
        ]
        limit = min(bound for bound in bounds if bound is not None)
        table["limits"].setdefault(row["case"], {})[row["isa"]] = limit
    lines = [
        f'  "{kind}": {{\n'
        + ",\n".join(f'    "{case}": {json.dumps(table[kind][case])}' for case in table[kind])
        + "\n  }"
        for kind in ("goals", "limits")
    ]
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description="count the instructions of the kernels and hold them to their limits")
    parser.add_argument("--isa", action="append", default=[], help="only this instruction set (may be repeated)")
    parser.add_argument("--case", action="append", default=[], help="only this case (may be repeated)")
    parser.add_argument("--limits", type=Path, default=ROOT / "tools" / "instruction_limits.json")
    parser.add_argument("--write", action="store_true", help="lower the limits to 5 %% above what is counted now")
    options = parser.parse_args()
    try:
        table = json.loads(options.limits.read_text(encoding="utf-8"))
        rows = measure(options.isa, options.case)
    except (OSError, ValueError) as error:
        print(f"count_instructions: the limits cannot be read from {options.limits}: {error}", file=sys.stderr)
        return 2
    except Stop as reason:
        print(f"count_instructions: {reason}", file=sys.stderr)
        return reason.status
    if options.write:
        write_limits(options.limits, table, rows)
    above = 0
    for row in rows:
        bounds = [bound for kind in ("goals", "limits") if (bound := limit_of(table, kind, row)) is not None]
        row["limit"] = min(bounds, default=None)
        print(json.dumps(row))
        if row["limit"] is not None and row["instructions"] > row["limit"]:
            above += 1
            took = f"{row['case']} on {row['isa']} takes {row['instructions']} instructions a {row['unit']}"
            print(f"count_instructions: {took}; the limit is {row['limit']}", file=sys.stderr)
    return 5 if above else 0


if __name__ == "__main__":
    sys.exit(main())
