"""The books of the day rig: every question that was asked, how it ended, and what the outbox promised."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from edge_agent.asked import Asked
from tools.day_rig.witness import Witness

TOLERATED_MS = 50.0


class Books:
    """`asked` before a question is put, `ended` for whatever the watcher says."""

    def __init__(self, deadline_s: float, witness: Witness) -> None:
        self._deadline_s = deadline_s
        self._witness = witness
        self._open: dict[str, float] = {}
        self.put = 0
        self.refused_at_the_door = 0
        self.ends: Counter[str] = Counter()
        self.refusals: Counter[str] = Counter()
        self.twice = 0
        self.overruns_ms: list[float] = []
        self.lives_s: list[tuple[float, float]] = []  # of those past their deadline: asked, ended
        self.kept: set[int] = set()
        self.late: Counter[int] = Counter()
        self.automatic: Counter[str] = Counter()

    def asked(self, question: str, now_s: float) -> None:
        self.put += 1
        self._open[question] = now_s

    def at_the_door(self, question: str) -> None:
        """Too many wait: refused at once."""
        del self._open[question]
        self.refused_at_the_door += 1

    def ended(self, asked: Asked, now_s: float) -> None:
        if asked.asked_s is not None:
            assert asked.kept is not None
            self.late[asked.kept] += 1
            return
        if asked.kept is not None:
            self.kept.add(asked.kept)
        outcome = "refused" if asked.answer is None else asked.answer.route.value
        if asked.firing.trigger != "asked":
            self.automatic[outcome] += 1
            return
        began_s = self._open.pop(asked.question, None)
        if began_s is None:
            self.twice += 1
            return
        self.ends[outcome] += 1
        if asked.error is not None:
            self.refusals[asked.error.split(" (")[0].split(":")[0][:60]] += 1
        over_ms = (now_s - began_s - self._deadline_s) * 1000
        self.overruns_ms.append(over_ms)
        if over_ms > TOLERATED_MS:
            self.lives_s.append((began_s, now_s))

    @property
    def open(self) -> int:
        """Questions that have not ended."""
        return len(self._open)

    def figures(self, outbox: dict[str, int], waiting: set[int]) -> dict[str, Any]:
        """All of it; `lost` is what the outbox promised, did not deliver, does not hold and did not count."""
        counted = outbox["failed"] + outbox["aged"] + outbox["dropped"] + outbox["damaged"]
        missing = self.kept - set(self.late) - waiting
        excused = sum(
            end - began - self._witness.stood_s(began, end) <= self._deadline_s for began, end in self.lives_s
        )
        late_ms = np.maximum(0.0, np.array(self.overruns_ms or [0.0]))
        return {
            "questions": self.put,
            "answered": {route: self.ends[route] for route in ("local", "cloud")},
            "refused": {"busy": self.refused_at_the_door, **dict(self.refusals.most_common(12))},
            "unended": self.open,
            "ended_twice": self.twice,
            "past_deadline_by_50_ms": len(self.lives_s),
            "of_those_while_the_machine_stood_still": excused,
            "past_deadline_ms": {
                "p99": round(float(np.percentile(late_ms, 99)), 1),
                "most": round(float(late_ms.max()), 1),
            },
            "automatic": dict(self.automatic),
            "acknowledged": len(self.kept),
            "acknowledged_lost": max(0, len(missing) - counted),
            "answered_late": len(self.late),
            "answered_late_twice": sum(times > 1 for times in self.late.values()),
            "outbox": outbox,
        }
