"""Answers of an engine that tells its tokens by their ids: ended as our own runtime ends them, drafts checked."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cloud_stub.backends.chat_server import Told, told_of
from cloud_stub.backends.openai import probability_of
from edge_agent.errors import CloudError
from edge_agent.types import TokenEvent
from edge_agent.vlm.answering import FreeAnswer, Rules
from edge_agent.vlm.choice import GREEDY, Picker
from edge_agent.vlm.words import Text, Words


class TokenAnswer:
    """One answer: `ids` are its tokens so far, `ended` whether it has no more. `vocab` is the number of all tokens."""

    def __init__(self, rules: Rules, text: Text, vocab: int) -> None:
        self._answer = FreeAnswer(rules, Picker(GREEDY), Words(text))
        self._vocab = vocab
        self.ids: list[int] = []
        self.ended = False

    def take(self, told: Told) -> Iterator[TokenEvent]:
        """What one more token adds; nothing where it ends the answer without being part of it."""
        token, logprob, top = told
        if not 0 <= token < self._vocab:
            raise CloudError("the engine sent a token that its model does not have", code="internal")
        count = len(self._answer.events)
        more = self._answer.add(token, probability_of(logprob), entropy_of(top or (logprob,), self._vocab))
        self.ids += more
        self.ended = not more
        yield from self._answer.events[count:]


def entropy_of(top: Sequence[float], vocab: int) -> float:
    """0..1, over log(vocab): of the likeliest tokens by their logprobs, and of all others as if the square root of
    their number shared what is left, halfway (in the logarithm) between one and all of them.
    """
    shares = [probability_of(one) for one in top]
    rest = max(0.0, 1.0 - sum(shares))
    many = math.sqrt(max(1, vocab - len(shares)))
    held = sum(-p * math.log(p) for p in shares if p > 0)
    return min(1.0, (held - (rest * math.log(rest / many) if rest > 0 else 0.0)) / math.log(vocab))


def checked(raw: Mapping[str, Any], before: Sequence[int], draft: Sequence[int]) -> list[Told]:
    """The tokens that the engine would have said, up to the first that is not of the `draft`, and with it. None at all
    where what it read is not the prompt `before` and the draft, but was split into other tokens.

    `raw` answers a question asked with `prompt_logprobs` and `return_token_ids`. Raises CloudError.
    """
    try:
        if list(raw["prompt_token_ids"]) != [*before, *draft]:
            return []
        made: list[Told] = []
        for place, token in enumerate(draft, len(before)):
            made.append(_likeliest(raw["prompt_logprobs"][place]))
            if made[-1][0] != token:
                return made
        return [*made, *told_of(raw["choices"][0])[:1]]
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise CloudError("the engine sent what is no checked prompt", code="internal") from error


def _likeliest(place: Mapping[str, Mapping[str, Any]]) -> Told:
    """Of {id: {"logprob", "rank"}}; the token that was read may be there beside the likeliest."""
    ranked = sorted((int(one["rank"]), int(token), float(one["logprob"])) for token, one in place.items())
    return ranked[0][1], ranked[0][2], tuple(logprob for rank, _, logprob in ranked if rank <= len(ranked))
