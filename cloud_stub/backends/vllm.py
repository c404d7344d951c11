"""vLLM as backend: embeddings go into its `image_embeds` part, decoded and checked by this front.

Its server must run with --enable-mm-embeds on an address that only this front reaches: it takes what it is given.
"""

from __future__ import annotations

import base64
import io
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from cloud_stub.backends.base import Prompt
from cloud_stub.backends.chat_server import ChatServer, Told
from cloud_stub.backends.openai import OpenAIBackend
from cloud_stub.backends.token_answers import TokenAnswer, checked
from edge_agent.errors import CloudError
from edge_agent.transport.codecs import CODECS
from edge_agent.transport.frames import FrameError
from edge_agent.transport.shipped import register_shipped
from edge_agent.types import Generation, TokenEvent, Turn
from edge_agent.vlm import Bundle, summarise
from edge_agent.vlm.answering import Rules
from edge_agent.vlm.prompt import Prompt as Written
from edge_agent.vlm.verify import worth_reading
from edge_agent.vlm.words import text_of
from edge_agent.vlm.writers import writer_of

log = logging.getLogger("cloud_stub")

PROBE = Prompt((), "is it red?", (Turn("what is it?", "a cup"),), 1)
_BEHIND = {"add_generation_prompt": False, "continue_final_message": True}
"""The last message is the beginning of the answer."""
_TOP = 20


class VllmBackend(OpenAIBackend):
    """The model that `server` serves reads what the decoder of the bundle at `path` reads. Raises ModelError.

    The tensor travels as float32 .npy. No uuid is sent, so that the engine names it by its content; its caches are kept
    apart by `cache_salt`, one of each tenant.

    An engine that splits a prompt into the tokens that this bundle does (it is asked once, here) tells tokens by their
    ids: then answers end as the `onnx` backend's do, drafts are checked, and confidence is the bundle's.
    """

    def __init__(self, server: ChatServer, path: Path, model: str = "") -> None:
        super().__init__(server, model)
        self._bundle = Bundle.open(path)
        register_shipped(self._bundle.codec_files)
        self.encoder_ids = (self._bundle.encoder_id, *self._bundle.manifest.also_reads)
        self.codecs = tuple(sorted(CODECS))
        self.hidden_size = self._bundle.hidden_size
        detail = self._bundle.layout.detail
        self.detail_views = None if detail is None else (detail.rows, detail.columns)
        self._writer = writer_of(self._bundle)
        self._text = text_of(self._writer.tokenizer)
        self._known = self._agrees()
        self.tokenizer_id = self._bundle.tokenizer_id if self._known else None

    def read(self, prompt: Prompt) -> Prompt:
        """As it is, after a last look: the engine may fall over what does not fit."""
        wanted = (self._bundle.tokens_per_image, self._bundle.hidden_size)
        most = self._bundle.layout.views_per_image
        if prompt.pictures or len(prompt.embeddings) > most:
            text = f"{self.model} reads embeddings of at most {most} views and no pictures"
            raise CloudError(text, code="bad_request", retryable=False)
        for one in prompt.embeddings:
            if one.encoder_id not in self.encoder_ids or one.data.shape != wanted or not np.isfinite(one.data).all():
                text = f"a view is {one.data.shape} of {one.encoder_id!r}, or not finite; wanted is {wanted}"
                raise FrameError(text, code="bad_tensor")
        return prompt

    def prompt_tokens(self, prompt: Prompt) -> int:
        return self._written(prompt).rows if self._known else super().prompt_tokens(prompt)

    def stream(self, prompt: Prompt, cancelled: Callable[[], bool]) -> Iterator[TokenEvent]:
        return self._told(prompt, cancelled) if self._known else super().stream(prompt, cancelled)

    def summarise(self, events: Sequence[TokenEvent]) -> Generation:
        return summarise(events, self._bundle.calibration) if self._known else super().summarise(events)

    def evidence(self, prompt: Prompt) -> list[dict[str, Any]]:
        if not prompt.embeddings:
            return []
        rows = np.concatenate([one.data for one in prompt.embeddings]).astype(np.float32, copy=False)  # [n, hidden]
        file = io.BytesIO()
        np.save(file, rows, allow_pickle=False)
        return [{"type": "image_embeds", "image_embeds": base64.b64encode(file.getvalue()).decode("ascii")}]

    def evidence_tokens(self, prompt: Prompt) -> int:
        return sum(len(one.data) for one in prompt.embeddings)

    def more(self, prompt: Prompt) -> Mapping[str, Any]:
        return {"cache_salt": prompt.tenant} if prompt.tenant else {}

    def _agrees(self) -> bool:
        try:
            said = self._server.whole(self.body(PROBE) | {"return_token_ids": True})
        except CloudError as error:
            log.info("the engine was not asked for its tokens (%s): it checks no drafts", error)
            return False
        agrees: bool = said.get("prompt_token_ids") == self._ids(self._written(PROBE))
        if not agrees:
            log.info("the engine has other tokens than %s: it checks no drafts", self._bundle.name)
        return agrees

    def _written(self, prompt: Prompt) -> Written:
        """What our own runtime would read. Raises UsageError, ModelError."""
        return self._writer.write(prompt.embeddings, prompt.question, prompt.history, prompt.max_new_tokens)

    def _ids(self, written: Written) -> list[int]:
        """All tokens of a prompt, with placeholders where embeddings are."""
        held = int(self._bundle.config.get("image_token_id", -1))
        pieces = [piece for chunk in written.chunks for piece in chunk]
        return [one for piece in pieces for one in (piece.ids if piece.data is None else (held,) * piece.rows)]

    def _told(self, prompt: Prompt, cancelled: Callable[[], bool]) -> Iterator[TokenEvent]:
        """The answer token by token: what the draft foretold first, then the rest behind it."""
        bundle, written, most = self._bundle, self._written(prompt), prompt.max_new_tokens
        turns = len(written.chunks) - 1 - bool(prompt.embeddings)
        asked = replace(prompt, history=prompt.history[len(prompt.history) - turns :])
        answer = TokenAnswer(Rules(most, self._writer.ends, bundle.stops_loops, 1.0), self._text, bundle.vocab_size)
        draft = self._whole_words(worth_reading(prompt.draft, most, bundle.vocab_size, self._writer.ends))
        if draft and not cancelled():
            for told in self._checked(asked, self._ids(written), draft):
                yield from answer.take(told)
                if answer.ended:
                    return
        yield from self._rest(asked, answer, cancelled)

    def _rest(self, asked: Prompt, answer: TokenAnswer, cancelled: Callable[[], bool]) -> Iterator[TokenEvent]:
        begun = tuple(answer.ids)
        behind = begun and self._whole_words(begun) == begun
        skip = 0 if behind else len(begun)  # what cannot be said in words is made again
        limits = {"max_tokens": asked.max_new_tokens - (len(begun) if behind else 0), "top_logprobs": _TOP}
        body = self._begun(asked, begun) if behind else self.body(asked)
        for piece in self._server.stream({**body, **limits, "return_token_ids": True}, cancelled):
            if piece.text and not piece.told:
                raise CloudError("the engine told no token ids", code="internal")
            for told in piece.told[skip:]:
                yield from answer.take(told)
                if answer.ended:
                    return
            skip = max(0, skip - len(piece.told))

    def _checked(self, asked: Prompt, before: list[int], draft: tuple[int, ...]) -> list[Told]:
        """What the engine would say, by one call that reads prompt and draft and makes one token."""
        limits = {"max_tokens": 1, "prompt_logprobs": 1, "top_logprobs": _TOP, "return_token_ids": True}
        return checked(self._server.whole(self._begun(asked, draft) | limits), before, draft)

    def _begun(self, asked: Prompt, ids: Sequence[int]) -> dict[str, Any]:
        """The request to go on behind an answer that begins with `ids`."""
        body = self.body(asked)
        begun = {"role": "assistant", "content": self._writer.tokenizer.decode(list(ids))}
        return {**body, **_BEHIND, "messages": [*body["messages"], begun]}

    def _whole_words(self, ids: tuple[int, ...]) -> tuple[int, ...]:
        """As many of the first of `ids` as their text is split into again."""
        tokenizer = self._writer.tokenizer
        for count in range(len(ids), 0, -1):
            text = tokenizer.decode(list(ids[:count]))
            if tuple(tokenizer.encode(text, add_special_tokens=False).ids) == ids[:count]:
                return ids[:count]
        return ()
