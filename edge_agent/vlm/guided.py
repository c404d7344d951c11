"""Answers of a given form: at each step only tokens that keep the text on its way to an end of the automaton."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_agent.types import F32
from edge_agent.vlm.automaton import Automaton, State
from edge_agent.vlm.schema import automaton_of

Bool = NDArray[np.bool_]
NEVER = np.float32(-1e30)  # finite, so that no probability becomes NaN
_KEPT_MASKS = 256
_NO_SPACE_BEFORE = frozenset(b"\"'.,;:!?%)]}-/\\")
_NO_SPACE_AFTER = frozenset(b"\"'([{-/\\")


class Vocabulary:
    """What each token writes. `spaced`: whether a token of whole words stands apart from what is before it."""

    def __init__(self, tokenizer: Any) -> None:
        special = {number for number, token in tokenizer.get_added_tokens_decoder().items() if token.special}
        self.size = int(tokenizer.get_vocab_size(with_added_tokens=True))
        by_bytes = _writes_bytes(tokenizer)
        self.texts: dict[int, bytes] = {}
        self.spaced: set[int] = set()
        for text, number in tokenizer.get_vocab(with_added_tokens=True).items():
            if number in special:
                continue
            if by_bytes:
                self.texts[number] = bytes(_byte_of()[sign] for sign in text if sign in _byte_of())
            elif text.startswith("##"):
                self.texts[number] = text[2:].encode()
            else:
                self.texts[number] = text.encode()
                self.spaced.add(number)
        self.root = _Node()
        for number, data in self.texts.items():
            if data:
                self.root.add(data, number)


class _Node:
    """One byte of a tree of all tokens: those that share a beginning are walked together."""

    __slots__ = ("ends", "next")

    def __init__(self) -> None:
        self.next: dict[int, _Node] = {}
        self.ends: list[int] = []

    def add(self, data: bytes, number: int) -> None:
        node = self
        for byte in data:
            node = node.next.setdefault(byte, _Node())
        node.ends.append(number)


class JsonGuide:
    """Follows one answer through the automaton. `text` is what it has written; `done` once nothing may follow."""

    def __init__(self, automaton: Automaton, vocabulary: Vocabulary, ends: tuple[int, ...]) -> None:
        self._automaton = automaton
        self._vocabulary = vocabulary
        self._ends = ends
        self._state = automaton.start
        self._masks: dict[tuple[State, bool], Bool] = {}
        self.text = b""

    @property
    def done(self) -> bool:
        return self._automaton.accepts(self._state) and not self._automaton.options(self._state)

    def allow(self, logits: F32) -> F32 | None:
        """The logits [vocab], NEVER for what may not come; None where no token can go on."""
        mask = self._mask()
        if not mask.any():
            return None
        kept: F32 = np.full(len(logits), NEVER, dtype=np.float32)
        shared = min(len(mask), len(logits))  # a table of embeddings may have spare rows
        kept[:shared][mask[:shared]] = logits[:shared][mask[:shared]]
        return kept

    def add(self, token: int) -> str:
        """What a token adds to the text."""
        data = self._vocabulary.texts.get(token, b"")
        if token in self._vocabulary.spaced and self._wants_space(data):
            data = b" " + data
        return self._write(data)

    def forced(self) -> str:
        """What must follow whatever the model says; written at once."""
        return self._write(self._automaton.forced(self._state))

    def close(self) -> str:
        """The shortest end of the text from here; written at once."""
        return self._write(self._automaton.closing(self._state))

    def _write(self, data: bytes) -> str:
        before = self.text.decode("utf-8", "ignore")
        self.text += data
        self._state = self._automaton.run(self._state, data)
        return self.text.decode("utf-8", "ignore")[len(before) :]

    def _wants_space(self, data: bytes) -> bool:
        """Whether a word stands apart: inside a text, not behind its opening quote nor before a sign."""
        if not data or not self.text or self.text[-1] in _NO_SPACE_AFTER or data[0] in _NO_SPACE_BEFORE:
            return False
        return bool(self._automaton.run(self._state, b" " + data))

    def _mask(self) -> Bool:
        behind_word = bool(self.text) and self.text[-1] not in _NO_SPACE_AFTER
        key = (self._state, behind_word)
        if key not in self._masks:
            if len(self._masks) >= _KEPT_MASKS:
                self._masks.clear()
            mask: Bool = np.zeros(self._vocabulary.size, dtype=np.bool_)
            self._walk(self._vocabulary.root, self._state, mask, only=None)
            if self._vocabulary.spaced and behind_word:
                apart = self._automaton.next(self._state, 0x20)
                self._walk(self._vocabulary.root, apart, mask, only=self._vocabulary.spaced)
            if self._automaton.accepts(self._state):
                mask[list(self._ends)] = True
            self._masks[key] = mask
        return self._masks[key]

    def _walk(self, node: _Node, state: State, mask: Bool, only: set[int] | None) -> None:
        waiting = [(node, state)] if state else []
        while waiting:
            here, at = waiting.pop()
            for byte, after in here.next.items():
                behind = self._automaton.next(at, byte)
                if behind:
                    mask[[end for end in after.ends if only is None or end in only]] = True
                    waiting.append((after, behind))


def json_guide(schema: Mapping[str, Any], vocabulary: Vocabulary, ends: tuple[int, ...]) -> JsonGuide:
    """A guide to JSON of that `schema`. Raises UsageError where the schema cannot be followed."""
    return JsonGuide(automaton_of(schema), vocabulary, ends)


def _writes_bytes(tokenizer: Any) -> bool:
    """Whether tokens are bytes in disguise (byte-level BPE) rather than words."""
    vocab = tokenizer.get_vocab(with_added_tokens=False)
    return all(sign in vocab for sign in ("\u0120", "\u010a"))  # how space and line end are written there


@lru_cache(maxsize=1)
def _byte_of() -> dict[str, int]:
    """The byte behind each sign of byte-level BPE: printable Latin-1 stands for itself, the others begin at U+0100."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in plain]
    return {chr(byte): byte for byte in plain} | {chr(0x100 + at): byte for at, byte in enumerate(others)}
