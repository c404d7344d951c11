"""A draft that is there already, as one turn's Drafting: for whoever tests what becomes of drafts."""

from __future__ import annotations

from dataclasses import dataclass

from edge_agent.transport import features
from edge_agent.transport.drafts import Draft, Drafted
from edge_agent.transport.messages import Welcome

TOKENIZER = "0123456789abcdef"


@dataclass
class FixedDraft:
    """`welcome` and `bytes_up`: what it was begun with."""

    ids: tuple[int, ...]
    tokenizer_id: str = TOKENIZER
    begun: bool = False
    bytes_up: int | None = None
    welcome: Welcome | None = None

    def begin(self, welcome: Welcome, bytes_up: int) -> bool:
        self.welcome, self.bytes_up = welcome, bytes_up
        self.begun = features.DRAFT in welcome.features
        return self.begun

    async def draft(self) -> Drafted:
        assert self.begun
        return Drafted(Draft(self.tokenizer_id, self.ids))

    async def close(self) -> None: ...
