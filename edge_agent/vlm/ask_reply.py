"""Prompts of our own bundles: pictures, sound, then `ask question reply` for each turn."""

from __future__ import annotations

from collections.abc import Sequence

from edge_agent.errors import ModelError
from edge_agent.types import Embeddings, Turn
from edge_agent.vlm.bundle import Bundle
from edge_agent.vlm.evidence import evidence
from edge_agent.vlm.manifest import VERIFY
from edge_agent.vlm.prompt import Piece, Prompt, check_question, check_text, end_tokens, load_tokenizer, too_long


class AskReplyWriter:
    """Writes `ask question reply`, each earlier turn as `ask question reply answer end` before it."""

    def __init__(self, bundle: Bundle) -> None:
        self.tokenizer = load_tokenizer(bundle.path / "tokenizer.json")
        self.ends = end_tokens(bundle.path)
        self._bundle = bundle
        rules = bundle.config.get("prompt", {})
        made = [self.tokenizer.token_to_id(str(rules.get(key, ""))) for key in ("ask_token", "reply_token")]
        if None in made:
            raise ModelError(
                f"{bundle.path / 'config.json'}: prompt.ask_token or reply_token is not in the tokenizer", VERIFY
            )
        self._ask, self._reply = made

    def write(
        self, embeddings: Sequence[Embeddings], question: str, history: Sequence[Turn], max_new_tokens: int
    ) -> Prompt:
        seen = evidence(self._bundle, embeddings)
        start = self._bundle.layout.text_position
        ids = (self._ask, *self._encode(check_question(question)), self._reply)
        room = self._bundle.context - start - max_new_tokens
        if len(ids) > room:
            raise too_long(len(ids), max(0, room))
        turns, left = [], room - len(ids)
        for turn in reversed(history):
            said = (self._ask, *self._encode(turn.question), self._reply, *self._encode(turn.answer), self.ends[0])
            if len(said) > left:
                break
            turns.append(said)
            left -= len(said)
        chunks = [seen] if seen else []
        for part in (*reversed(turns), ids):
            chunks.append((Piece(start, part),))
            start += len(part)
        return Prompt(tuple(chunks))

    def _encode(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer.encode(check_text(text), add_special_tokens=False).ids
        return ids
