"""How a question and the turns before it become token ids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_agent.errors import ModelError, UsageError
from edge_agent.types import Turn
from edge_agent.vlm.bundle import Bundle
from edge_agent.vlm.manifest import VERIFY, read_json

MAX_QUESTION_CHARS = 4000


@dataclass(frozen=True, slots=True)
class Prompt:
    """`ids` of the text after pictures and sound; the first of them stands at position `start`."""

    ids: list[int]
    start: int


class PromptWriter:
    """Writes prompts as `ask question reply`, each earlier turn as `ask question reply answer end` before it."""

    def __init__(self, bundle: Bundle) -> None:
        self._tokenizer = load_tokenizer(bundle.path / "tokenizer.json")
        self._room = bundle.context
        self._start = bundle.layout.text_position
        rules = bundle.config.get("prompt", {})
        made = [self._tokenizer.token_to_id(str(rules.get(key, ""))) for key in ("ask_token", "reply_token")]
        if None in made:
            raise ModelError(
                f"{bundle.path / 'config.json'}: prompt.ask_token or reply_token is not in the tokenizer", VERIFY
            )
        self._ask, self._reply = made
        generation = read_json(bundle.path / "generation_config.json")
        ends = generation.get("eos_token_id", [])
        self.ends: tuple[int, ...] = tuple(ends) if isinstance(ends, list) else (int(ends),)
        if not self.ends:
            raise ModelError(f"{bundle.path / 'generation_config.json'} has no eos_token_id", VERIFY)

    def write(self, question: str, history: Sequence[Turn], max_new_tokens: int) -> Prompt:
        """Raises UsageError for an empty question or one that does not fit; older turns that do not are left out."""
        if not question.strip():
            raise UsageError("the question is empty", "type a question")
        ids = [self._ask, *self._encode(question), self._reply]
        left = self._room - self._start - max_new_tokens - len(ids)
        if left < 0:
            raise UsageError(
                f"the question has {len(ids)} tokens, the model has room for {len(ids) + left}",
                "ask a shorter question",
            )
        for turn in reversed(history):
            earlier = [self._ask, *self._encode(turn.question), self._reply, *self._encode(turn.answer), self.ends[0]]
            if len(earlier) > left:
                break
            ids, left = earlier + ids, left - len(earlier)
        return Prompt(ids, self._start)

    def decode(self, ids: list[int]) -> str:
        """The text of answer tokens."""
        return str(self._tokenizer.decode(ids))

    def _encode(self, text: str) -> list[int]:
        if len(text) > MAX_QUESTION_CHARS:
            raise UsageError(
                f"a question of {len(text)} characters is over {MAX_QUESTION_CHARS}", "ask a shorter question"
            )
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return ids


def load_tokenizer(path: Path) -> Any:
    """A tokenizers.Tokenizer from its file; ModelError if the package or the file is missing or unfit."""
    try:
        import tokenizers
    except ImportError as error:
        raise ModelError(f"tokenizers cannot be imported ({error})", "pip install tokenizers") from error
    try:
        return tokenizers.Tokenizer.from_file(str(path))
    except Exception as error:
        raise ModelError(f"{path} cannot be loaded ({str(error)[:200]})", VERIFY) from error
