"""What a question has cost of the link so far: also whoever leaves it before its end can read that."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Spent:
    """Bytes of one question over all connections that it used, and whether a TURN went out on any."""

    up: int = 0
    down: int = 0
    asked: bool = False

    def add(self, other: Spent) -> None:
        """One more turn of it."""
        self.up += other.up
        self.down += other.down
        self.asked = self.asked or other.asked
