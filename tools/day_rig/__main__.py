"""Plays a day in minutes: `python -m tools.day_rig --minutes 20`; the figures as one JSON object on standard output, a
verdict for each promise on standard error, and with `--write` both in docs/reliability.md.

Exit code 1: a question did not end, ended twice, or something that was acknowledged is lost.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import math
import os
import platform
import sys
import tempfile
import time
from pathlib import Path

from edge_agent import __version__
from tools.day_rig.claims import claims_of, page_of
from tools.day_rig.play import Day
from tools.marked import DOCS, write_marked


def main() -> int:
    """Read the command line, play, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=20.0, help="length of the day (20: a whole day's mishaps)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rate", type=float, default=8.4, help="questions a second (8.4: 10,000 in 20 minutes)")
    parser.add_argument("--deadline", type=float, default=10.0, help="seconds in which a question must end")
    parser.add_argument("--policy", default="random", help="policy.name (random: half to the cloud)")
    parser.add_argument(
        "--model", default="edge-vqa", help="bundle of the device; the cloud runs the other of the shipped pair"
    )
    parser.add_argument("--camera-losses", type=int, help="instead of 50 in 20 minutes, in proportion")
    parser.add_argument("--write", action="store_true", help="write the verdicts into docs/reliability.md")
    parser.add_argument("--verbose", action="store_true", help="the agent's own log on standard error")
    given = parser.parse_args()
    for name in ("minutes", "rate", "deadline"):
        if not 0 < getattr(given, name) < math.inf:
            parser.error(f"--{name} must be more than 0")
    logging.basicConfig(level=logging.WARNING if given.verbose else logging.CRITICAL, stream=sys.stderr)
    with tempfile.TemporaryDirectory(prefix="day-rig-") as folder:
        numbers = (given.minutes, given.seed, given.rate, given.deadline, given.policy, given.model)
        day = Day(Path(folder), *numbers, camera_losses=given.camera_losses)
        began_s = time.monotonic()
        asyncio.run(day.run())
        spent = os.times()
        figures = {
            "version": __version__,
            "machine": f"{platform.machine()}, {os.cpu_count()} cores",
            "niceness": os.getpriority(os.PRIO_PROCESS, 0),
            "minutes": given.minutes,
            "seed": given.seed,
            "deadline_s": given.deadline,
            "model": Path(given.model).name,
            "policy": given.policy,
            **day.books.figures(day.outbox, day.still_waiting),
            "late_among_others": day.late_among_others,
            "processor_share": round((spent.user + spent.system) / (time.monotonic() - began_s), 3),
            "machine_stood_still_s": round(day.witness.longest_s, 2),
            "mishaps": dict(sorted(day.mishaps.items())),
            "camera_losses_wanted": day.camera_losses_wanted,
            "camera_points": len(day.camera_points),
            **day.gauges.figures(),
        }
    print(json.dumps(figures, indent=1))
    for claim in claims_of(figures):
        print(f"{claim.verdict:>9}: {claim.promise}: {claim.figures}", file=sys.stderr)
    if given.write:
        command = f"python -m tools.day_rig --minutes {given.minutes:g} --rate {given.rate:g} --seed {given.seed}"
        write_marked(DOCS / "reliability.md", "day_rig", page_of(figures, command))
    return int(bool(figures["unended"] or figures["ended_twice"] or figures["acknowledged_lost"]))


if __name__ == "__main__":
    sys.exit(main())
