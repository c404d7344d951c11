"""Any OpenAI-compatible server as backend: it is sent pictures as JPEG or WebP; it cannot read embeddings."""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from cloud_stub.backends.base import Prompt
from cloud_stub.backends.chat_server import ChatServer, Piece, messages
from edge_agent.errors import CloudError
from edge_agent.transport.codecs import PICTURE_CODECS, PIXELS
from edge_agent.types import Generation, TokenEvent

END = TokenEvent(0xFFFFFFFF, "", 1.0, 0.0)
"""Stands behind an answer that the server ended itself; no tokenizer has this id."""
UNKNOWN = 0.5
_TOP = 5
_CHARS_PER_TOKEN = 3
_TOKENS_PER_MESSAGE = 8
_TOKENS_PER_PICTURE = 800


class OpenAIBackend:
    """Asks `server` for its `model`, the first that it lists where none is named. Any number of threads at once.

    Token ids are not known, and probabilities only where the server tells them. Prompt tokens are estimated before the
    question is asked. Of a client nothing is passed on but question, history and picture.
    """

    def __init__(self, server: ChatServer, model: str = "") -> None:
        self._server = server
        self.model = model or server.first_model()
        self.encoder_ids: tuple[str, ...] = (PIXELS,)
        self.codecs: tuple[str, ...] = PICTURE_CODECS
        self.hidden_size = 1
        self.detail_views: tuple[int, int] | None = None
        self.tokenizer_id: str | None = None

    def read(self, prompt: Prompt) -> Prompt:
        if prompt.embeddings:
            text = f"{self.model} behind this cloud reads pictures, not embeddings"
            raise CloudError(text, "send the picture: cloud.codec jpeg", code="unknown_encoder", retryable=False)
        return prompt

    def prompt_tokens(self, prompt: Prompt) -> int:
        """An estimate, rather too large."""
        texts = [prompt.question, *(text for turn in prompt.history for text in (turn.question, turn.answer))]
        chars = sum(len(text.encode()) for text in texts)
        return -(-chars // _CHARS_PER_TOKEN) + len(texts) * _TOKENS_PER_MESSAGE + self.evidence_tokens(prompt)

    def stream(self, prompt: Prompt, cancelled: Callable[[], bool]) -> Iterator[TokenEvent]:
        return _events(self._server.stream(self.body(prompt), cancelled), prompt.max_new_tokens)

    def body(self, prompt: Prompt) -> dict[str, Any]:
        """The request for an answer."""
        history = [(turn.question, turn.answer) for turn in prompt.history]
        return {
            "model": self.model,
            "messages": messages(history, prompt.question, self.evidence(prompt)),
            "max_tokens": prompt.max_new_tokens,
            "temperature": 0,
            "logprobs": True,
            "top_logprobs": _TOP,
            **self.more(prompt),
        }

    def summarise(self, events: Sequence[TokenEvent]) -> Generation:
        """Confidence is the geometric mean of the tokens' probabilities: no calibration is known for such a model."""
        said = [event for event in events if event is not END]
        logs = [math.log(max(event.probability, 1e-6)) for event in said]
        return Generation(
            text="".join(event.text for event in said).strip(),
            confidence=math.exp(sum(logs) / len(logs)) if logs else 0.0,
            max_entropy=max((event.entropy for event in said), default=1.0),
            tokens=len(said),
            finish_reason="stop" if len(said) < len(events) else "length",
        )

    def evidence(self, prompt: Prompt) -> list[dict[str, Any]]:
        """The parts of the first message that the question is about."""
        return [
            {
                "type": "image_url",
                "image_url": {"url": f"data:image/{one.codec};base64,{base64.b64encode(one.payload).decode('ascii')}"},
            }
            for one in prompt.pictures
        ]

    def evidence_tokens(self, prompt: Prompt) -> int:
        """How many tokens the evidence takes, about."""
        return len(prompt.pictures) * _TOKENS_PER_PICTURE

    def more(self, prompt: Prompt) -> Mapping[str, Any]:
        """What else stands in the request."""
        return {}


def _events(pieces: Iterator[Piece], most: int) -> Iterator[TokenEvent]:
    """At most `most` tokens; a piece whose tokens are not told counts as one."""
    count = 0
    for piece in pieces:
        tokens = piece.tokens or (((piece.text, math.nan, ()),) if piece.text else ())
        for text, logprob, top in tokens:
            if count == most:
                return
            count += 1
            yield TokenEvent(0, text, probability_of(logprob), _entropy(top))
        if piece.finish_reason == "stop" and count < most:
            yield END
            return


def probability_of(logprob: float) -> float:
    """Of a token by its logprob, 0..1; UNKNOWN for NaN."""
    return UNKNOWN if math.isnan(logprob) else min(1.0, math.exp(min(0.0, logprob)))


def _entropy(top: Sequence[float]) -> float:
    """Of the likeliest tokens and all others as one, over the log of their number: 0..1."""
    if not top:
        return UNKNOWN
    shares = [probability_of(one) for one in top]
    shares.append(max(0.0, 1.0 - sum(shares)))
    return min(1.0, -sum(p * math.log(p) for p in shares if p > 0) / math.log(len(shares)))
