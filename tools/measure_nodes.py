"""Measures what nodes do with real questions, and writes the table that simulator and predictors are driven by.

    python -m tools.measure_nodes                       remakes edge_agent/assets/nodes.npz, all steps
    python -m tools.measure_nodes --step ask            the long run: what every node answers, and CPU times
    python -m tools.measure_nodes --step time           some two minutes on a quiet machine: what it takes by the wall
    python -m tools.measure_nodes --step pack           both into the table
    python -m tools.measure_nodes --prefix pi5- --profile edge-1t --out pi5.npz       on another machine
    python -m tools.measure_nodes --merge pi5.npz       adds its nodes to the table
    python -m tools.measure_nodes --times-of old.npz    answers as measured here, times as in a table of before

Needs EDGE_AGENT_DATA and `pip install easy-vqa==1.0`. What was measured is kept in --work, by models and profiles, so
that a run which was cut short goes on where it stopped; the order of photos is always the same.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from edge_agent.sim.table import MeasuredTable
from edge_agent.sim.table_file import merge, read_table, write_table
from edge_agent.store.models import find_bundle
from tools.nodes.asking import Asking
from tools.nodes.pack import pack
from tools.nodes.profiles import Profile, available, described
from tools.nodes.questions import Photo, Source, photos, sources
from tools.nodes.silence import REPEATS as SILENT_REPEATS
from tools.nodes.silence import in_silence, scales
from tools.nodes.times import parse_slower, timed_as

SHIPPED = Path("edge_agent/assets/nodes.npz")
STEPS = ("ask", "time", "pack")


class Run:
    """One measurement: what is kept of it in `work` bears the models' and profiles' digest in its name."""

    def __init__(self, plan: Sequence[Source], profiles: list[Profile], repeats: int, work: Path) -> None:
        work.mkdir(parents=True, exist_ok=True)
        digest = _digest(profiles, repeats)
        self._plan = plan
        self._profiles = profiles
        self._repeats = repeats
        self._answers = work / f"{digest}.jsonl"
        self._times = work / f"{digest}-time.json"
        self._photos: list[Photo] = list(photos(list(plan)))

    def ask(self) -> None:
        """Every photo that is not in `work` yet."""
        done = _kept(self._answers)
        asking = Asking(self._profiles, self._repeats)
        started = time.monotonic()
        with self._answers.open("a", encoding="utf-8") as kept:
            for at, photo in enumerate(self._photos):
                if not _has(done, photo):
                    kept.write(json.dumps(asking.measure(photo)) + "\n")
                    kept.flush()
                if at % 50 == 0:
                    print(f"{at}/{len(self._photos)} photos, {time.monotonic() - started:.0f} s", file=sys.stderr)

    def time(self) -> None:
        """The short run, whose level of times is the one that counts."""
        self._times.write_text(json.dumps(in_silence(self._profiles, self._photos)), encoding="utf-8")

    def pack(self, prefix: str, command: str) -> MeasuredTable:
        """The table of both."""
        done = _kept(self._answers)
        missing = sum(not _has(done, photo) for photo in self._photos)
        if missing or not self._times.exists():
            raise SystemExit(f"{missing} photos and {'no' if self._times.exists() else 'all'} times are missing")
        measured = [done[photo.source, photo.name] for photo in self._photos]
        silence = json.loads(self._times.read_text(encoding="utf-8"))
        nodes, scaled = [], {}
        for profile in self._profiles:
            scaled[profile.name] = scales(silence, measured, profile.name)
            beyond = {k: v for k, v in silence["profiles"][profile.name].items() if k != "rows"}
            nodes.append(replace(described(profile, prefix, self._repeats, command), **beyond))
        facts = {
            "made_by": command,
            "splits": {source.name: "trained on" if source.split else "unseen" for source in self._plan},
            "questions": {source.name: len(source.rows) for source in self._plan},
            "times": f"CPU time, least of {self._repeats} a stage, the machine shared with other work; times a factor "
            f"a node and stage: its median by the wall on the quiet machine (least of {SILENT_REPEATS}) over that",
            "factors": scaled,
            "bytes": "coded embeddings and question; what frames add is the node's overhead",
        }
        return pack(measured, nodes, scaled, prefix, facts)


def _digest(profiles: Sequence[Profile], repeats: int) -> str:
    """Names what was measured: the models' files, the profiles, how often."""
    digest = hashlib.sha256(repr((list(profiles), repeats)).encode())
    for bundle in sorted({"edge-vqa", *(p.bundle for p in profiles)}):
        digest.update((find_bundle(bundle) / "manifest.json").read_bytes())
    return digest.hexdigest()[:16]


def _has(done: dict[tuple[str, str], dict[str, Any]], photo: Photo) -> bool:
    found = done.get((photo.source, photo.name))
    return found is not None and found["questions"] == [row.question for row in photo.rows]


def _kept(path: Path) -> dict[tuple[str, str], dict[str, Any]]:
    """What an earlier run measured; a last line that was cut short is measured again."""
    found = {}
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            photo = json.loads(line)
        except ValueError:
            continue
        found[photo["source"], photo["name"]] = photo
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=SHIPPED)
    parser.add_argument("--work", type=Path, default=Path("build/nodes"))
    parser.add_argument("--step", choices=STEPS, action="append", help="only these; all by default")
    parser.add_argument("--profile", action="append", default=[], help="only these; all by default")
    parser.add_argument("--prefix", default="", help="before the names of this machine's nodes")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--limit", type=int, help="questions of each set, for trying out")
    parser.add_argument("--merge", type=Path, metavar="TABLE", help="add the nodes of TABLE to --out, measure nothing")
    parser.add_argument("--times-of", type=Path, metavar="TABLE", help="give --out the times of TABLE, measure nothing")
    parser.add_argument(
        "--slower",
        type=parse_slower,
        action="append",
        default=[],
        metavar="NODE=FIRST,FURTHER",
        help="with --times-of: how many times as long a prompt takes that node now",
    )
    wanted = parser.parse_args()
    if wanted.slower and wanted.times_of is None:
        parser.error("--slower goes with --times-of")
    if wanted.times_of is not None:
        write_table(wanted.out, timed_as(read_table(wanted.out), read_table(wanted.times_of), dict(wanted.slower)))
        return
    if wanted.merge is not None:
        write_table(wanted.out, merge(read_table(wanted.out), read_table(wanted.merge)))
        return
    run = Run(sources(wanted.limit), available(wanted.profile), wanted.repeats, wanted.work)
    steps = wanted.step or STEPS
    if "ask" in steps:
        run.ask()
    if "time" in steps:
        run.time()
    if "pack" in steps:
        table = run.pack(wanted.prefix, "python -m tools.measure_nodes")
        write_table(wanted.out, table)
        right = {name: round(float(c.right[table.rows()].mean()), 4) for name, c in table.columns.items()}
        print(json.dumps({"questions": len(table), "bytes": wanted.out.stat().st_size, "right_on_unseen": right}))


if __name__ == "__main__":
    main()
