"""What a decoder reads: embeddings and token ids at their positions, in chunks that later questions may share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from edge_agent.errors import ModelError, UsageError
from edge_agent.types import F32, Embeddings, Turn
from edge_agent.vlm.manifest import read_json, verify_hint

MAX_QUESTION_CHARS = 4000


@dataclass(frozen=True, slots=True)
class Piece:
    """Rows at the positions from `start` on: either token `ids`, or embeddings `data` [rows, hidden] float32."""

    start: int
    ids: tuple[int, ...] = ()
    data: F32 | None = None

    @property
    def rows(self) -> int:
        return len(self.ids) if self.data is None else len(self.data)

    @property
    def positions(self) -> range:
        return range(self.start, self.start + self.rows)

    def same(self, other: Piece) -> bool:
        """Whether the decoder would read the very same from both."""
        if (self.start, self.ids) != (other.start, other.ids):
            return False
        if self.data is None or other.data is None:
            return self.data is other.data
        return self.data is other.data or np.array_equal(self.data, other.data)


Chunk = tuple[Piece, ...]


def same_chunk(one: Chunk, other: Chunk) -> bool:
    """Whether two chunks hold the same rows at the same positions."""
    return len(one) == len(other) and all(a.same(b) for a, b in zip(one, other, strict=True))


@dataclass(frozen=True, slots=True)
class Prompt:
    """`chunks` are read one after the other, none is empty: first what the question is about, then each earlier turn,
    last the question. Equal chunks at the beginning of two prompts need to be read once.
    """

    chunks: tuple[Chunk, ...]

    @property
    def rows(self) -> int:
        """How many tokens the prompt takes."""
        return sum(piece.rows for chunk in self.chunks for piece in chunk)

    @property
    def next_position(self) -> int:
        """Where the first token of the answer stands."""
        last = self.chunks[-1][-1]
        return last.start + last.rows


class PromptWriter(Protocol):
    """How one family of models wants to be asked. `ends` are the ids that end an answer."""

    ends: tuple[int, ...]
    tokenizer: Any

    def write(
        self, embeddings: Sequence[Embeddings], question: str, history: Sequence[Turn], max_new_tokens: int
    ) -> Prompt:
        """Raises UsageError for an empty or too long a question, ModelError for embeddings that the model does not
        read. Older turns that do not fit are left out.
        """
        ...


def check_text(text: str) -> str:
    """The same text. Raises UsageError where it is longer than any model reads."""
    if len(text) > MAX_QUESTION_CHARS:
        raise UsageError(f"a question of {len(text)} characters is over {MAX_QUESTION_CHARS}", "ask a shorter question")
    return text


def check_question(question: str) -> str:
    """The same question. Raises UsageError where there is none, or too long a one."""
    if not question.strip():
        raise UsageError("the question is empty", "type a question")
    return check_text(question)


def too_long(tokens: int, room: int) -> UsageError:
    """The error of a question that the context cannot hold."""
    return UsageError(f"the question has {tokens} tokens, the model has room for {room}", "ask a shorter question")


def end_tokens(folder: Path) -> tuple[int, ...]:
    """`eos_token_id` of generation_config.json, as a tuple. Raises ModelError where it has none."""
    path = folder / "generation_config.json"
    ends = read_json(path).get("eos_token_id", [])
    made = tuple(ends) if isinstance(ends, list) else (ends,)
    if not made or not all(type(one) is int and one >= 0 for one in made):
        raise ModelError(f"{path} has no eos_token_id", verify_hint(folder))
    return made


def load_tokenizer(path: Path) -> Any:
    """A tokenizers.Tokenizer from its file; ModelError if the package or the file is missing or unfit."""
    try:
        import tokenizers
    except ImportError as error:
        raise ModelError(f"tokenizers cannot be imported ({error})", "pip install tokenizers") from error
    try:
        return tokenizers.Tokenizer.from_file(str(path))
    except Exception as error:
        raise ModelError(f"{path} cannot be loaded ({str(error)[:200]})", verify_hint(path.parent)) from error
