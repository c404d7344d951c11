"""A bundle from elsewhere: made whole in a folder of its own, then put in its place at once; the old one is kept."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from edge_agent.errors import ModelError, UsageError
from edge_agent.store.fetch import Remote, Web
from edge_agent.store.remote import Plan
from edge_agent.vlm.bundle import OWN_OVERHEAD, PULLED_OVERHEAD
from edge_agent.vlm.locate import search_path
from edge_agent.vlm.manifest import file_problems, read_json, sha256_of
from edge_agent.vlm.pulled import ORIGIN, manifest_of
from edge_agent.vlm.session import check_memory

SPARE_BYTES = 64 << 20
MAX_BYTES = 8 << 30
_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,95}")
Told = Callable[[str, int, int], None]
"""Hears of a file's name, and of how many bytes of all there are now."""


def bundle_root(given: Path | None) -> Path:
    """The folder that a bundle is put in: the one that is given, else where bundles are looked for first."""
    return given if given is not None else search_path()[0]


def check_name(name: str) -> str:
    """The same name. Raises UsageError for one that is no plain name of a folder."""
    if not _NAME.fullmatch(name) or name.endswith((".partial", ".previous")):
        raise UsageError(f"{name[:100]!r} is no name of a bundle", "give letters, digits, - _ . with --name")
    return name


def check_room(plan: Plan, root: Path, *, ignore_memory: bool = False) -> None:
    """Raises ModelError where it is too large, disk or memory will not hold it: before anything is fetched."""
    if plan.size_bytes > MAX_BYTES:
        raise ModelError(f"{plan.name} has {plan.size_bytes >> 20} MiB", f"at most {MAX_BYTES >> 20} MiB are pulled")
    there, stage = _existing(root), stage_of(root, plan.name)
    missing = plan.size_bytes - sum(min(one.size_bytes, _size(stage / one.name)) for one in plan.files)
    free = shutil.disk_usage(there).free
    if missing + SPARE_BYTES > free:
        words = f"{plan.name} needs {(missing + SPARE_BYTES) >> 20} MiB on the disk of {there}, {free >> 20} are free"
        raise ModelError(words, "make room, or choose another folder with --to")
    if not ignore_memory:
        weights = sum(one.size_bytes for one in plan.files if one.name.endswith((".onnx", "_data", ".data")))
        check_memory(plan.name, weights, OWN_OVERHEAD if plan.own else PULLED_OVERHEAD)


def _existing(path: Path) -> Path:
    path = path.absolute()
    return next(one for one in (path, *path.parents) if one.exists())


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def stage_of(root: Path, name: str) -> Path:
    """Where a bundle is made."""
    return root / f".{name}.partial"


def previous_of(root: Path, name: str) -> Path:
    """Where the bundle before the present one is kept."""
    return root / f".{name}.previous"


@contextmanager
def staging(root: Path, name: str) -> Iterator[Path]:
    """The folder in which `name` is made, for one pull at a time. Raises ModelError."""
    try:
        root.mkdir(parents=True, exist_ok=True)
        lock = (root / f".{name}.lock").open("w")
    except OSError as error:
        raise ModelError(f"{root} cannot be written to ({error})", "choose another folder with --to") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ModelError(f"another pull of {name} is under way", "wait for it to end") from error
        stage = stage_of(root, name)
        stage.mkdir(exist_ok=True)
        yield stage


def is_here(plan: Plan, root: Path) -> bool:
    """Whether the very same is in its place already, every byte of it."""
    place = root / plan.name
    try:
        if plan.own:
            ours = next(one.sha256 for one in plan.files if one.name == "manifest.json")
            same = sha256_of(place / "manifest.json") == ours
        else:
            names = {one.name for one in plan.files}
            origin = read_json(place / ORIGIN)
            same = origin.get("source") == plan.source and names <= set(origin.get("files", ()))
        return same and not file_problems(place, manifest_of(place))
    except (OSError, ModelError):
        return False


async def pull(web: Web, plan: Plan, root: Path, told: Told) -> Path:
    """Fetches what is not staged yet, checks all of it, and puts it in its place. Raises ModelError."""
    with staging(root, plan.name) as stage:
        _drop_others(stage, plan.files)
        done, hashes = 0, {}
        for one in plan.files:
            path = stage / one.name
            path.parent.mkdir(parents=True, exist_ok=True)
            told(one.name, done, plan.size_bytes)
            hashes[one.name] = await web.file(one, path, partial(_told_of, told, one.name, done, plan.size_bytes))
            done += one.size_bytes
        told("", done, plan.size_bytes)
        return put_in_place(stage, root, plan.name, plan.source, {} if plan.own else hashes)


def _told_of(told: Told, name: str, before: int, total: int, have: int) -> None:
    told(name, before + have, total)


def _drop_others(stage: Path, files: tuple[Remote, ...]) -> None:
    """What an earlier pull of something else has left there is no part of this one."""
    wanted = {stage / one.name for one in files}
    for path in sorted(stage.rglob("*"), reverse=True):
        if path.is_dir() and not path.is_symlink():
            if not any(path in one.parents for one in wanted):
                path.rmdir()
        elif path not in wanted:
            path.unlink()


def put_in_place(stage: Path, root: Path, name: str, source: str, hashes: dict[str, str]) -> Path:
    """Makes a whole stage the bundle `name`; the one that was there is kept as the previous one. With `hashes`, what
    was fetched is written down beside the files, to be verified later. Raises ModelError; nothing has changed then.
    """
    if hashes:
        record = {"source": source, "files": hashes}
        (stage / ORIGIN).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    problems = file_problems(stage, manifest_of(stage))
    if problems:
        raise ModelError(problems[0], "pull it again")
    return swap_in(stage, root, name)


def swap_in(stage: Path, root: Path, name: str) -> Path:
    """The checked stage becomes `name`, what was there the previous one. Raises OSError; nothing has changed then."""
    for path in stage.rglob("*"):
        if path.is_file():
            _sync(path)
    place, previous = root / name, previous_of(root, name)
    if place.exists():
        shutil.rmtree(previous, ignore_errors=True)
        place.rename(previous)
    try:
        stage.rename(place)
    except OSError:
        if previous.exists() and not place.exists():
            previous.rename(place)
        raise
    _sync(root)
    return place


def roll_back(root: Path, name: str) -> Path:
    """Changes the bundle `name` with the one before it; twice is as before. Raises ModelError where there is none."""
    place, previous = root / check_name(name), previous_of(root, name)
    if not previous.is_dir():
        raise ModelError(f"no earlier {name} is kept in {root}", "edge-agent models list")
    aside = root / f".{name}.aside"
    if place.exists():
        place.rename(aside)
    previous.rename(place)
    if aside.exists():
        aside.rename(previous)
    return place


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
