"""What a pull will fetch: the files of a model hub's repository or of a bundle at a URL, listed beforehand."""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

from edge_agent.errors import ModelError, UsageError
from edge_agent.store.fetch import Remote, Web, check_url
from edge_agent.vlm.manifest import read_manifest
from edge_agent.vlm.providers import signed_convolutions
from edge_agent.vlm.pulled import GRAPHS, NEEDED, VARIANTS

HUB = "https://huggingface.co"
MAX_LIST_BYTES = 16 << 20
EXTRAS = (
    "processor_config.json",
    "chat_template.json",
    "chat_template.jinja",
    "tokenizer_config.json",
    "README.md",
    "LICENSE",
)
PREFERRED = ("int8", "quantized", "uint8", "", "fp16", "q4", "q4f16", "bnb4")
"""Precisions in the order in which one is chosen: small and quick on a CPU first, then what every CPU computes. Where
the runtime lacks int8's convolutions (a Jetson's Python 3.10), int8 comes last: "quantized" has unsigned ones.
"""
_REPO = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")
_REVISION = re.compile(r"[\w][\w./-]{0,119}")


@dataclass(frozen=True, slots=True)
class Plan:
    """A bundle to be: its `name` here, where it comes from (with the exact revision), its files, and whether it is one
    of ours, with a manifest.
    """

    name: str
    source: str
    files: tuple[Remote, ...]
    own: bool

    @property
    def size_bytes(self) -> int:
        return sum(one.size_bytes for one in self.files)


async def plan_of(web: Web, source: str, precision: str | None, sha256: str | None) -> Plan:
    """The plan of `hf:OWNER/NAME[@REVISION]` or of a URL. `sha256` is that of a URL's manifest, if it must be a certain
    one. Raises UsageError, ModelError.
    """
    if source.startswith("hf:"):
        return await _hub_plan(web, source, precision)
    if "://" not in source:
        hint = "write hf:OWNER/NAME, https://HOST/FOLDER/ or pip:PACKAGE"
        raise UsageError(f"{source[:200]!r} does not say where it is to come from", hint)
    if precision is not None:
        raise UsageError("--precision is for hf: models", "a bundle at a URL has one")
    return await _url_plan(web, check_url(source), sha256)


def hub_name(source: str) -> tuple[str, str]:
    """Repository and revision ("main" by default) of `hf:OWNER/NAME[@REVISION]`. Raises UsageError."""
    repo, _, revision = source.removeprefix("hf:").partition("@")
    revision = revision or "main"
    if not _REPO.fullmatch(repo) or not _REVISION.fullmatch(revision) or ".." in repo + revision:
        raise UsageError(f"{source[:200]!r} names no model", "write hf:HuggingFaceTB/SmolVLM-256M-Instruct[@REVISION]")
    return repo, revision


async def _hub_plan(web: Web, source: str, precision: str | None) -> Plan:
    repo, revision = hub_name(source)
    hub = check_url(os.environ.get("HF_ENDPOINT") or HUB).rstrip("/")
    info = await _json(web, f"{hub}/api/models/{repo}/revision/{quote(revision, safe='')}")
    commit = str(info.get("sha", "")) if isinstance(info, dict) else ""
    if not re.fullmatch(r"[0-9a-f]{40}", commit):
        raise ModelError(f"{hub} did not say which revision {source} is", "check the name, or set HF_ENDPOINT")
    listed = await _json(web, f"{hub}/api/models/{repo}/tree/{commit}?recursive=true")
    try:
        there = {one["path"]: one for one in listed if one["type"] == "file"}
        wanted = chosen_files(set(there), precision, source)
        files = tuple(_hub_file(there[name], f"{hub}/{repo}/resolve/{commit}/{quote(name)}") for name in wanted)
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"the list of files of {source} is not what it should be ({error!r})", "try later") from error
    return Plan(repo.split("/")[1], f"hf:{repo}@{commit}", files, own=False)


def _hub_file(entry: dict[str, Any], url: str) -> Remote:
    large = entry.get("lfs")
    if large:
        return Remote(str(entry["path"]), url, int(large["size"]), sha256=str(large["oid"]))
    return Remote(str(entry["path"]), url, int(entry["size"]), git_sha1=str(entry["oid"]))


def chosen_files(there: set[str], precision: str | None, source: str) -> list[str]:
    """Which of the files `there` make a model in one precision: by name, or the first of PREFERRED that is whole.

    Raises UsageError for a precision that is none, ModelError naming what is missing.
    """
    variant = "" if precision == "fp32" else precision
    if variant is not None and variant not in VARIANTS:
        known = ", ".join(one or "fp32" for one in PREFERRED)
        raise UsageError(f"no precision is called {precision!r}", f"known: {known}")
    order = PREFERRED if signed_convolutions() else sorted(PREFERRED, key=lambda one: one == "int8")
    whole = [one for one in order if all(_graph(name, one) in there for name in GRAPHS)]
    missing = [name for name in NEEDED if name not in there]
    if missing or not whole:
        words = ", ".join(missing) or "no graphs under onnx/"
        raise ModelError(f"{source} is no model that can be run here: {words}", "choose a SmolVLM-Instruct model")
    if variant is not None and variant not in whole:
        there_are = ", ".join(one or "fp32" for one in whole)
        raise ModelError(f"{source} is not there in {precision}", f"there is {there_are}")
    graphs = [_graph(name, whole[0] if variant is None else variant) for name in GRAPHS]
    beside = [name + ending for name in graphs for ending in ("_data", ".data") if name + ending in there]
    return [*NEEDED, *(name for name in EXTRAS if name in there), *graphs, *beside]


def _graph(name: str, variant: str) -> str:
    return name.removesuffix(".onnx") + (f"_{variant}" if variant else "") + ".onnx"


async def _url_plan(web: Web, url: str, sha256: str | None) -> Plan:
    url = url if url.endswith(("/", "/manifest.json")) else url + "/"
    address = urljoin(url, "manifest.json")
    data = await web.small(address, MAX_LIST_BYTES)
    made = hashlib.sha256(data).hexdigest()
    if sha256 is not None and sha256.lower() != made:
        raise ModelError(f"{address} is another manifest: its sha256 is {made}", "check --sha256 and the address")
    with TemporaryDirectory() as folder:
        (Path(folder) / "manifest.json").write_bytes(data)
        manifest = read_manifest(Path(folder))
    if not all(re.fullmatch(r"[0-9a-f]{64}", one.sha256) for one in manifest.files):
        raise ModelError(f"{address} has a file without sha256", "choose a bundle with a whole manifest")
    files = [Remote(one.name, urljoin(url, quote(one.name)), one.size_bytes, one.sha256) for one in manifest.files]
    files.append(Remote("manifest.json", address, len(data), made))
    name = PurePosixPath(urlsplit(urljoin(url, ".")).path).name or manifest.name
    return Plan(name, urljoin(url, "."), tuple(files), own=True)


async def _json(web: Web, url: str) -> Any:
    try:
        return json.loads(await web.small(url, MAX_LIST_BYTES))
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{url} gave no JSON ({error})", "check HF_ENDPOINT, or try later") from error
