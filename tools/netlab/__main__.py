"""Every route over every link, in real processes.

    python -m tools.netlab --rate 20,1 --rtt 60 --loss 0,1 --routes local,cloud,auto --data coco/dev.jsonl --limit 300
    python -m tools.netlab --matrix --work lab.jsonl              every link and route; goes on where it was cut short
    python -m tools.netlab --report lab.jsonl [--write]           the tables, and with --write into docs/network.md

Rates are Mbit/s up (down too, unless --down says otherwise), round trips ms, losses percent of the packets each way.
The link is between two network namespaces, packet by packet, where root may make them; else a TCP relay emulates it:
`way` in the output says which. `--check` measures what the link does. `--trace` takes a handover trace in place of
rate, round trip and loss. The routes of a link take turns, question by question.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

from edge_agent.cli.vqa import read_rows
from edge_agent.errors import EdgeAgentError
from tools.marked import DOCS, write_marked
from tools.netlab.cells import PER_QUESTION, WorkFile, clouds, read_work, run_cell
from tools.netlab.check import seen
from tools.netlab.link import Conditions, Trace, read_trace, steady
from tools.netlab.packets import PacketLink, Unavailable
from tools.netlab.processes import ROUTES, Asking, Link, two_cores
from tools.netlab.report import table
from tools.netlab.streams import StreamLink

DATA_VARIABLE = "EDGE_AGENT_DATA"
MATRIX = {"rate": [400.0, 200.0, 20.0, 5.0, 1.0], "rtt": [20.0, 60.0, 120.0], "loss": [0.0, 1.0]}
MATRIX_ROUTES = ["local", "cloud", "jpeg", "verified", "auto"]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = _parser()
    given = parser.parse_args(arguments)
    if given.report is not None:
        return _report(given.report, given.write)
    if given.data is None and not given.check:
        parser.error(f"name the questions: --data FILE, or the folder of the data in {DATA_VARIABLE}")
    if given.matrix:
        vars(given).update(MATRIX, routes=MATRIX_ROUTES)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # namespaces and cloud end with us
    traces = _traces(given)
    questions = _questions(given.data or Path())
    if not given.check:
        read_rows(questions)  # a wrong file is told before anything is started
    edge_core, cloud_core = two_cores()
    asking = Asking(questions, given.limit, given.seed, given.policy, given.deadline_ms, given.cloud_model, edge_core)
    with ExitStack() as stack:
        link, why = _link(stack, given.way, given.seed)
        if given.check:
            for name, trace in traces:
                row = {"link": name, "way": link.way, "set": asdict(trace.at(0)), "seen": seen(link, trace)}
                print(json.dumps(row) if given.json else f"{name:<26} {link.way}: seen {row['seen']}", flush=True)
            return 0
        urls = clouds(stack, link, given.routes, cloud_core, given.cloud_model)
        if not given.json:
            print(_headline(link, why, asking, cloud_core))
        work = WorkFile(given.work)
        for name, trace in traces:
            routes = [route for route in given.routes if not work.has(name, route, asking)]
            rows = run_cell(link, name, trace, routes, asking, urls) if routes else []
            work.add(rows)
            for row in rows:
                short = {key: value for key, value in row.items() if key not in PER_QUESTION} | {"way_why": why}
                print(json.dumps(short) if given.json else _line(row), flush=True)
    return 0


def _report(path: Path, write: bool) -> int:
    """The tables of a work file, printed or into the documentation."""
    text = table(list(read_work(path)))
    if write:
        write_marked(DOCS / "network.md", "netlab", text)
    else:
        print(text)
    return 0


def _headline(link: Link, why: str, asking: Asking, cloud_core: int | None) -> str:
    cores = "one core for both" if cloud_core is None else f"edge on core {asking.edge_core}, cloud on {cloud_core}"
    way = "packets between two namespaces" if link.way == "packets" else f"a TCP relay, since {why}"
    return f"way: {way}; {cores}; {asking.limit} questions a cell; bytes (wire: with all headers) and ms a question"


def _line(row: dict[str, Any]) -> str:
    low, high = row["accuracy_ci"]
    latency = row["latency_ms"]
    said = (
        f"{row['link']:<26} {row['route']:<9} p50 {latency['p50']:6.0f}  p95 {latency['p95']:6.0f}  "
        f"accuracy {row['accuracy']:.3f} ({low:.3f}..{high:.3f})  bytes up {row['bytes_up_mean']:6.0f} "
        f"(wire {row['wire_bytes_up_mean']:6.0f})  cloud {row['cloud_share']:.2f}"
    )
    return said + (f"  {row['errors']} errors: {row['first_error']}" if row["errors"] else "")


def _link(stack: ExitStack, way: str, seed: int) -> tuple[Link, str]:
    """The link, and why it is not the better one."""
    why = "it was asked for"
    if way != "streams":
        try:
            return stack.enter_context(PacketLink(seed)), ""
        except Unavailable as error:
            if way == "packets":
                raise SystemExit(f"--way packets: {error}") from error
            why = str(error)
            print(f"no packets: {why}; a TCP relay emulates the link", file=sys.stderr)
    return stack.enter_context(StreamLink(seed)), why


def _traces(given: argparse.Namespace) -> list[tuple[str, Trace]]:
    if given.trace is not None:
        try:
            return [(given.trace.name, read_trace(given.trace))]
        except (OSError, ValueError) as error:
            raise SystemExit(f"--trace: {error}") from error
    return list(_cells(given))


def _cells(given: argparse.Namespace) -> Iterator[tuple[str, Trace]]:
    for rate, rtt, loss in itertools.product(given.rate, given.rtt, given.loss):
        try:
            link = Conditions(rate, given.down or rate, rtt, given.jitter, loss / 100)
            trace = steady(link, given.cut)
        except ValueError as error:
            raise SystemExit(f"{rate:g} Mbit/s, {rtt:g} ms, {loss:g} %: {error}") from error
        yield f"{rate:g} Mbit/s {rtt:g} ms {loss:g} %", trace


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tools.netlab", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    root = os.environ.get(DATA_VARIABLE)
    questions = Path(root) / "coco" / "dev.jsonl" if root else None
    parser.add_argument("--rate", type=_numbers, default=[20.0], help="Mbit/s up, separated by commas")
    parser.add_argument("--down", type=float, help="Mbit/s down; the rate up where it is not given")
    parser.add_argument("--rtt", type=_numbers, default=[60.0], help="ms")
    parser.add_argument("--loss", type=_numbers, default=[0.0], help="percent of the packets, each way")
    parser.add_argument("--jitter", type=float, default=0.0, help="up to so many ms more, each way")
    parser.add_argument("--cut", type=_cut, action="append", default=[], metavar="AT+LENGTH", help="seconds")
    parser.add_argument("--trace", type=Path, help="a handover trace: lines of JSON, see tools/netlab/link.py")
    parser.add_argument("--routes", type=_routes, default=MATRIX_ROUTES, help=f"of {','.join(ROUTES)}")
    parser.add_argument("--data", type=Path, default=questions, help="questions, as eval vqa reads them")
    parser.add_argument("--limit", type=int, default=300, help="questions a cell")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--policy", help="of the route auto; the configuration's where it is not given")
    parser.add_argument("--deadline-ms", type=float, default=10_000.0)
    parser.add_argument("--cloud-model", default="cloud-vqa")
    parser.add_argument("--way", choices=("best", "packets", "streams"), default="best")
    parser.add_argument("--check", action="store_true", help="ask nothing: measure the links by a plain connection")
    parser.add_argument("--matrix", action="store_true", help="all rates, round trips, losses and routes of the goals")
    parser.add_argument("--work", type=Path, help="append every row to this file, and skip what it has already")
    parser.add_argument("--report", type=Path, metavar="FILE", help="measure nothing: the tables of a work file")
    parser.add_argument("--write", action="store_true", help="with --report: into docs/network.md")
    parser.add_argument("--json", action="store_true", help="one object a cell and route")
    return parser


def _questions(path: Path) -> Path:
    """A file of questions: as named from here, else as named within the folder of the data."""
    within = Path(os.environ.get(DATA_VARIABLE, "")) / path
    return (path if path.exists() or not within.exists() else within).resolve()


def _numbers(text: str) -> list[float]:
    return [float(part) for part in text.split(",")]


def _cut(text: str) -> tuple[float, float]:
    begin, _, length = text.partition("+")
    return float(begin), float(length)


def _routes(text: str) -> list[str]:
    names = text.split(",")
    if unknown := [name for name in names if name not in ROUTES]:
        raise argparse.ArgumentTypeError(f"no route {unknown[0]!r}; there are {', '.join(ROUTES)}")
    return names


if __name__ == "__main__":
    try:
        sys.exit(main())
    except EdgeAgentError as error:
        print(f"netlab: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
