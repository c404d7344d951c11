"""Which labels a question counts, compares or relates, read off the word embeddings that the decoder is given.

The cloud gets embeddings, not text, and so does its graph: each row is compared with the embeddings of the words that
are known here, and a few phrases are followed word by word. A question that is worded otherwise, or that names a thing
which is no label (nor a plural or synonym of one), is none of them: all of its numbers are 0.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from tools.train.labels import COCO, SYNONYMS, plural

LONGEST = 16
"""How many words of a question are looked at."""
_PHRASES = "how many count the are there do you see more fewer less than is left right of to above below"
_OPENINGS = (("how", "many"), ("count", "the"), ("are", "there"), ("do", "you"), ("is", "the"))
"""How every phrase begins."""
_FOLLOW = ("?", ".", "<a>", "are", "is", "do", "can", "in", "here", "there", "visible")
"""What may stand behind a name: not another noun ("dog houses")."""
_TOLERANCE = 1e-3
_Word = Callable[..., Tensor]
_Noun = Callable[[Tensor], tuple[Tensor, Tensor]]


class Asked(NamedTuple):
    """Of each question: labels [k, 80] that it names first and second, and 1 where it counts the first, 1 or -1 where
    it asks for more or fewer of the first, for the first to be left or right, above or below of the second; [k] each.
    """

    first: Tensor
    second: Tensor
    count: Tensor
    more: Tensor
    left: Tensor
    above: Tensor


def same_rows(rows: Tensor, words: Tensor) -> Tensor:
    """`rows` [..., hidden], `words` [n, hidden]: [..., n] bool, which of the words a row is."""
    size = words.pow(2).sum(-1)
    apart = rows.pow(2).sum(-1, keepdim=True) + size - 2 * rows @ words.T
    return apart < _TOLERANCE * size


def _id_of(tokenizer: Tokenizer, word: str) -> int:
    found = tokenizer.token_to_id(word)
    if found is None:
        raise SystemExit(f"the tokenizer has no word {word!r}: make it anew")
    return int(found)


class Phrases(nn.Module):  # type: ignore[misc]
    """Follows the phrases of `arranged` with names of one or two pieces."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        super().__init__()
        names: dict[tuple[int, ...], int] = {}
        for index, label in enumerate(COCO):
            for word in (label, *SYNONYMS.get(label, ())):
                for form in (plural(word), word):
                    names.setdefault(tuple(tokenizer.encode(form, add_special_tokens=False).ids), index)
        pairs = [(ids, at) for ids, at in names.items() if len(ids) == 2]
        known = {word: _id_of(tokenizer, word) for word in (*_PHRASES.split(), *_FOLLOW)}
        pieces = sorted({piece for ids in names if len(ids) <= 2 for piece in ids} | set(known.values()))
        place = {piece: i for i, piece in enumerate(pieces)}
        self._place = {word: place[piece] for word, piece in known.items()}
        openings = [[place[known[word]] for word in pair] for pair in _OPENINGS]
        self.register_buffer("openings", torch.tensor(openings).T, persistent=False)  # [2, openings]
        single = torch.zeros(len(pieces), len(COCO))
        for ids, at in names.items():
            if len(ids) == 1:
                single[place[ids[0]], at] = 1
        begins, ends = torch.zeros(len(pieces), len(pairs)), torch.zeros(len(pieces), len(pairs))
        whole = torch.zeros(len(pairs), len(COCO))
        for i, (ids, at) in enumerate(pairs):
            begins[place[ids[0]], i], ends[place[ids[1]], i], whole[i, at] = 1, 1, 1
        for name, value in (("pieces", torch.tensor(pieces)), ("single", single), ("whole", whole)):
            self.register_buffer(name, value, persistent=False)
        self.register_buffer("begins", begins, persistent=False)
        self.register_buffer("ends", ends, persistent=False)

    def opened(self, texts: Tensor, words: Tensor) -> Tensor:
        """[k] bool: whether a text begins as a phrase does; arguments as in `forward`, which is the dearer."""
        said = [same_rows(texts[:, at], words[self.openings[at]]) for at in range(2)]  # [k, openings] each
        return (said[0] & said[1]).any(dim=1)

    def forward(self, texts: Tensor, words: Tensor) -> Asked:
        """`texts` [k, LONGEST, hidden]: the rows behind the start of each question, 0 where there is none; `words`
        [pieces, hidden]: the embeddings of `pieces`, as `embed` gives them.
        """
        said = same_rows(texts, words).to(texts.dtype)  # [k, t, pieces]
        pair = (said @ self.begins)[:, :-1] * (said @ self.ends)[:, 1:]  # [k, t - 1, pairs]
        two = nn.functional.pad(pair @ self.whole, (0, 0, 0, 1))  # [k, t, 80]
        is_two = two.sum(-1)
        one = (said @ self.single) * (1 - is_two)[..., None]
        is_one = one.sum(-1)

        def word(at: Tensor, *names: str) -> Tensor:
            """One word on, where one of `names` stands: [k, t], 1 at the place that is read next."""
            hit = sum(said[..., self._place[name]] for name in names)
            return nn.functional.pad((at * hit)[:, :-1], (1, 0))

        def noun(at: Tensor) -> tuple[Tensor, Tensor]:
            """Behind a name, and its label [k, 80]."""
            label = (at[..., None] * (one + two)).sum(1)
            behind = nn.functional.pad((at * is_one)[:, :-1], (1, 0))
            return behind + nn.functional.pad((at * is_two)[:, :-2], (2, 0)), label

        start = torch.zeros_like(is_one)
        start[:, 0] = 1
        at, counted = noun(word(word(start, "how"), "many") + word(word(start, "count"), "the"))
        count = word(at, *_FOLLOW).sum(1)
        opened = word(word(start, "are"), "there") + word(word(word(start, "do"), "you"), "see")
        more, one_compared, two_compared = self._compared(word, noun, opened)
        at, one_related = noun(word(word(start, "is"), "the"))
        left, above, two_related = self._related(word, noun, at)
        compared, related = more.abs()[:, None], (left.abs() + above.abs())[:, None]
        first = counted * count[:, None] + one_compared * compared + one_related * related
        return Asked(first, two_compared * compared + two_related * related, count, more, left, above)

    def _compared(self, word: _Word, noun: _Noun, opened: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """1 for more, -1 for fewer; both labels."""
        found = []
        for names in (("more",), ("fewer", "less")):
            at, first = noun(word(opened, *names))
            at, second = noun(word(at, "than"))
            found.append((word(at, *_FOLLOW).sum(1), first, second))
        (more, *one), (fewer, *other) = found
        return more - fewer, one[0] + other[0], one[1] + other[1]

    def _related(self, word: _Word, noun: _Noun, named: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """1 for left of, -1 for right of; 1 for above, -1 for below; the second label."""
        found, second = [], None
        beside = named + word(word(named, "to"), "the")
        for at in (
            word(word(beside, "left"), "of"),
            word(word(beside, "right"), "of"),
            word(named, "above"),
            word(named, "below"),
        ):
            behind, label = noun(word(at, "the"))
            found.append(word(behind, *_FOLLOW).sum(1))
            second = label if second is None else second + label
        assert second is not None
        return found[0] - found[1], found[2] - found[3], second
