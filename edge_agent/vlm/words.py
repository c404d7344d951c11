"""From tokens to the text that is shown: piece by piece, whole characters only, ended by a stop string."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from edge_agent.errors import UsageError

MAX_STOPS = 16
MAX_STOP_CHARS = 200
_BROKEN = "\ufffd"  # what a tokenizer writes for bytes that are not yet a whole character


class Text(Protocol):
    """What a tokenizer writes: the whole text of `ids`, given `before`, that of all but the last of them."""

    def __call__(self, before: str, ids: list[int]) -> str: ...


class WholeText:
    """By the tokenizer, of all tokens anew."""

    def __init__(self, decode: Callable[[list[int]], str]) -> None:
        self._decode = decode

    def __call__(self, before: str, ids: list[int]) -> str:
        return str(self._decode(ids))


class PieceText:
    """By what each token adds, kept for the next time: for a tokenizer of whole words (WordPiece), where that depends
    on nothing but whether it is the first to write something.
    """

    def __init__(self, decode: Callable[[list[int]], str], word: int) -> None:
        self._decode, self._word = decode, word
        self._start = len(str(decode([word])))
        self._pieces: dict[tuple[int, bool], str] = {}

    def __call__(self, before: str, ids: list[int]) -> str:
        key = (ids[-1], not before)
        piece = self._pieces.get(key)
        if piece is None:
            piece = self._decode([key[0]]) if key[1] else self._decode([self._word, key[0]])[self._start :]
            self._pieces[key] = piece
        return before + piece


def text_of(tokenizer: Any) -> Text:
    """The quickest of both that writes as `tokenizer` (of the tokenizers package) does."""
    word = None
    if type(tokenizer.decoder).__name__ == "WordPiece":
        words = tokenizer.get_vocab(with_added_tokens=False).items()
        word = next((number for text, number in words if text.isascii() and text.isalpha()), None)
    return WholeText(tokenizer.decode) if word is None else PieceText(tokenizer.decode, word)


class Words:
    """The text of one answer. `stopped` once a stop string came: neither it nor what follows is given out."""

    def __init__(self, text: Text, stops: Sequence[str] = ()) -> None:
        if len(stops) > MAX_STOPS or not all(0 < len(stop) <= MAX_STOP_CHARS for stop in stops):
            raise UsageError(
                f"{len(stops)} stop strings", f"give at most {MAX_STOPS} of 1 to {MAX_STOP_CHARS} characters"
            )
        self._text = text
        self._stops = tuple(stops)
        self._ids: list[int] = []
        self._whole = ""
        self._told = 0
        self.stopped = False

    def add(self, token: int) -> str:
        """What one more token adds to the text that is sure to be part of the answer."""
        self._ids.append(token)
        before = self._whole
        self._whole = whole = self._text(before, self._ids)
        if not self._stops and not whole.endswith(_BROKEN) and self._told == len(before):
            self._told = len(whole)  # all of it is sure
            return whole[len(before) :]
        if self._stops:
            found = [at for stop in self._stops if (at := whole.find(stop, max(0, self._told - len(stop)))) >= 0]
            if found:
                self.stopped = True
                return self._tell(whole, max(self._told, min(found)))
        return self._tell(whole, len(whole) - self._unsure(whole))

    def end(self) -> str:
        """What was held back, once no token follows."""
        if self.stopped:
            return ""
        return self._tell(self._whole, len(self._whole))

    def _tell(self, whole: str, until: int) -> str:
        told, self._told = self._told, max(self._told, until)
        return whole[told : self._told]

    def _unsure(self, whole: str) -> int:
        """How many characters at the end may still turn into something else, or into a stop string."""
        broken = len(whole) - len(whole.rstrip(_BROKEN))
        for stop in self._stops:
            for size in range(min(len(stop) - 1, len(whole)), broken, -1):
                if whole.endswith(stop[:size]):
                    broken = size
                    break
        return broken
