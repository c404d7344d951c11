"""How the agent is, with reasons in words: alive, and ready to answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from edge_agent.api.desk import Desk
from edge_agent.api.senses import STALE_S, Senses
from edge_agent.clock import Clock


class SourceHealth(Protocol):
    """What is read of edge_agent.sources.supervisor.Health."""

    @property
    def state(self) -> str: ...

    @property
    def losses(self) -> int: ...

    @property
    def last_error(self) -> str | None: ...


@dataclass(slots=True)
class Health:
    """Collects why the agent is not ready. `sources`: what each watched source is, and how it is."""

    clock: Clock
    desk: Desk
    senses: Senses
    phase: str = "starting: the model is being opened"
    sources: Sequence[tuple[str, Callable[[], SourceHealth]]] = ()
    started_s: float = field(init=False)

    def __post_init__(self) -> None:
        self.started_s = self.clock.monotonic_s()

    def live(self) -> dict[str, Any]:
        """The process lives: that is all."""
        return {"status": "live", "uptime_s": round(self.clock.monotonic_s() - self.started_s, 3)}

    def ready(self) -> tuple[bool, dict[str, Any]]:
        """Whether questions are answered as they should be, and if not, why."""
        reasons = [self.phase] if self.phase else []
        sources = []
        for name, ask in self.sources:
            health = ask()
            sources.append(
                {"source": name, "state": health.state, "losses": health.losses, "last_error": health.last_error}
            )
            if health.state != "open":
                reasons.append(f"{name} is lost: {health.last_error or 'it ended'}; it is opened again and again")
        age_s = self.senses.frame_age_s
        if not self.phase and self.senses.watching and (age_s is None or age_s > STALE_S):
            lately = "yet" if age_s is None else f"for {age_s:.0f} s"
            reasons.append(f"no picture came {lately}")
        body = {
            "status": "not ready" if reasons else "ready",
            "reasons": reasons,
            "sources": sources,
            "questions_inside": self.desk.inside,
        }
        return not reasons, body
