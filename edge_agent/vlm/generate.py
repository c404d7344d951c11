"""The decode loop: embeddings and a question in, one token at a time out, cancellable before each token."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from edge_agent.errors import UsageError
from edge_agent.types import F32, Embeddings, TokenEvent, Turn
from edge_agent.vlm.answering import Answer, FreeAnswer, GuidedAnswer, Rules, looping
from edge_agent.vlm.batch import Lane, run_lanes
from edge_agent.vlm.bundle import Bundle
from edge_agent.vlm.choice import GREEDY, Choice, Picker
from edge_agent.vlm.continuous import Underway
from edge_agent.vlm.decoder import Decoder, KeyValueCache
from edge_agent.vlm.guided import Vocabulary, json_guide
from edge_agent.vlm.prefix import Prefixes
from edge_agent.vlm.prompt import Chunk, Prompt
from edge_agent.vlm.verify import Ahead, worth_reading
from edge_agent.vlm.words import Words, text_of
from edge_agent.vlm.writers import writer_of

__all__ = ["Generator", "looping", "never"]


def never() -> bool:
    """The `cancelled` of a caller that never cancels."""
    return False


class Generator:
    """Answers questions about embeddings. One question at a time; calls from several threads must be serialised.

    What was read of the last question's evidence and history is kept, so that the next question about the same is
    answered at once; of the last `kept` pictures, where questions of several owners come in turn (`begin`). Each chunk
    of a prompt is always read in one go, kept or not: the numbers are the same either way.
    """

    def __init__(self, bundle: Bundle, threads: int = 1, kept: int = 1) -> None:
        self._bundle = bundle
        self.decoder = Decoder(bundle, threads)
        self.writer = writer_of(bundle)
        self.text = text_of(self.writer.tokenizer)
        self._prefixes = Prefixes(kept)
        self._vocabulary: Vocabulary | None = None

    def stream(
        self,
        embeddings: Sequence[Embeddings],
        question: str,
        *,
        history: Sequence[Turn] = (),
        max_new_tokens: int = 16,
        choice: Choice = GREEDY,
        stop: Sequence[str] = (),
        schema: Mapping[str, Any] | None = None,
        draft: Sequence[int] = (),
        cancelled: Callable[[], bool] = never,
    ) -> Iterator[TokenEvent]:
        """Yields each token as it is made; the end token comes last, with empty text.

        `embeddings` are views of pictures and sounds of [tokens, hidden]; none means a question without. `stop` strings
        end the answer before themselves. With a `schema` (see vlm.schema) it is JSON of that form, whole even where
        the tokens run out, and `stop` does not count. `draft` are ids of tokens that the answer is expected to begin
        with: they are read in one pass with the question, and the answer is the same as without. `cancelled` is asked
        before every token. With our own bundles it also ends before a token repeats, see `looping`. What is wrong with
        the request is raised at the call, not at the first token: UsageError (empty or too long a question),
        ModelError (embeddings of another encoder or shape, too many of them).
        """
        prompt = self.prompt(embeddings, question, history, max_new_tokens)
        foretold = worth_reading(draft, max_new_tokens, self._bundle.vocab_size, self.writer.ends)
        return self._tokens(prompt, self._answer(max_new_tokens, Picker(choice), stop, schema), cancelled, foretold)

    def begin(
        self,
        embeddings: Sequence[Embeddings],
        question: str,
        *,
        history: Sequence[Turn] = (),
        max_new_tokens: int = 16,
        draft: Sequence[int] = (),
        owner: str = "",
    ) -> Underway:
        """The prompt read and the first token made, of a draft all that stands: the rest is for ContinuousBatch, and
        gives the tokens that `stream` gives. What is kept of it is for the `owner`'s next question alone. Raises what
        `stream` raises.
        """
        prompt = self.prompt(embeddings, question, history, max_new_tokens)
        foretold = worth_reading(draft, max_new_tokens, self._bundle.vocab_size, self.writer.ends)
        answer, position = self._answer(max_new_tokens, Picker(GREEDY), (), None), prompt.next_position
        if not foretold:
            logits, cache = self.read(prompt, owner)
            ids = answer.take(logits)
            return Underway(answer, ids[0] if ids else None, position, cache)
        ahead = Ahead(self.decoder, *self._rows(prompt.chunks[-1]), self._behind(prompt.chunks, owner), foretold)
        ids = answer.take(ahead.logits)
        while ids and (known := ahead.after(ids)) is not None:
            ids, position = answer.take(known), position + 1
        return Underway(answer, ids[0] if ids else None, position, ahead.cache())

    def batch(
        self,
        embeddings: Sequence[Embeddings],
        questions: Sequence[str],
        *,
        max_new_tokens: int = 16,
        cancelled: Callable[[], bool] = never,
    ) -> list[list[TokenEvent]]:
        """The tokens of each question's answer, likeliest first, all questions about `embeddings` read side by side.

        Raises what `stream` raises. `cancelled` is asked before each token of all.
        """
        prompts = [self.prompt(embeddings, question, (), max_new_tokens) for question in questions]
        answers = [self._answer(max_new_tokens, Picker(GREEDY), (), None) for _ in prompts]
        if prompts and not cancelled():
            last = [prompt.chunks[-1] for prompt in prompts]
            rows = [self._rows(chunk)[0] for chunk in last]
            lanes = [Lane(r, c[0].start, a.take) for r, c, a in zip(rows, last, answers, strict=True)]
            run_lanes(self.decoder, self._behind(prompts[0].chunks), lanes, cancelled)
        return [answer.events for answer in answers]

    def prompt(
        self, embeddings: Sequence[Embeddings], question: str, history: Sequence[Turn] = (), max_new_tokens: int = 16
    ) -> Prompt:
        """What the decoder would read; raises what `stream` raises."""
        if max_new_tokens < 1:
            raise UsageError(f"max_new_tokens is {max_new_tokens}", "ask for at least one token")
        return self.writer.write(embeddings, question, history, max_new_tokens)

    def forget(self) -> None:
        """Give back the memory of what was kept for the next question."""
        self._prefixes.forget()

    def _tokens(
        self, prompt: Prompt, answer: Answer, cancelled: Callable[[], bool], draft: tuple[int, ...]
    ) -> Iterator[TokenEvent]:
        if cancelled():
            return
        if draft:
            ahead = Ahead(self.decoder, *self._rows(prompt.chunks[-1]), self._behind(prompt.chunks), draft)
            yield from self.decode(answer, ahead.logits, ahead.whole, prompt.next_position, cancelled, ahead)
            return
        yield from self.decode(answer, *self.read(prompt), prompt.next_position, cancelled)

    def read(self, prompt: Prompt, owner: str = "") -> tuple[F32, KeyValueCache]:
        """The logits [vocab] after a whole prompt, and its cache; what is kept of it already is not read again."""
        return self.decoder.step(*self._rows(prompt.chunks[-1]), self._behind(prompt.chunks, owner))

    def decode(
        self,
        answer: Answer,
        logits: F32,
        cache: KeyValueCache,
        position: int,
        cancelled: Callable[[], bool] = never,
        ahead: Ahead | None = None,
    ) -> Iterator[TokenEvent]:
        """The tokens of `answer`, the first of them at `position`, behind what was read. What `ahead` knows is not
        asked again; its cache is taken once it knows no more.
        """
        told = 0
        while True:
            ids = answer.take(logits)
            while told < len(answer.events):
                yield answer.events[told]
                told += 1
            if not ids or cancelled():
                return
            if ahead is not None:
                known = ahead.after(ids)
                if known is not None:
                    logits, position = known, position + 1
                    continue
                cache, ahead = ahead.cache(), None
            if len(ids) == 1:
                logits, cache = self.decoder.next(ids[0], position, cache)
            else:
                logits, cache = self.decoder.step(self.decoder.embed(ids), range(position, position + len(ids)), cache)
            position += len(ids)

    def _behind(self, chunks: tuple[Chunk, ...], owner: str = "") -> KeyValueCache:
        """The cache behind all chunks but the question; what is kept of them already is not read again."""
        prefix = self._prefixes.of(owner, chunks)
        count, kept = prefix.find(chunks)
        behind = self.decoder.start() if kept is None else kept
        fresh: dict[int, KeyValueCache] = {}
        for at, chunk in enumerate(chunks[count:-1], count + 1):
            _, behind = self.decoder.step(*self._rows(chunk), behind)
            fresh[at] = behind
        prefix.keep(chunks, fresh)
        return behind

    def _answer(self, limit: int, picker: Picker, stop: Sequence[str], schema: Mapping[str, Any] | None) -> Answer:
        bundle, writer = self._bundle, self.writer
        rules = Rules(limit, writer.ends, bundle.stops_loops, bundle.calibration.temperature)
        if schema is None:
            return FreeAnswer(rules, picker, Words(self.text, stop))
        if self._vocabulary is None:
            self._vocabulary = Vocabulary(writer.tokenizer)
        guide = json_guide(schema, self._vocabulary, writer.ends)
        return GuidedAnswer(rules, picker, guide, self._encode)

    def _encode(self, text: str) -> list[int]:
        ids: list[int] = self.writer.tokenizer.encode(text, add_special_tokens=False).ids if text else []
        return ids

    def _rows(self, chunk: Chunk) -> tuple[F32, list[int]]:
        """[t, hidden] float32 of a chunk, and the positions of its rows."""
        parts = [self.decoder.embed(list(one.ids)) if one.data is None else one.data for one in chunk]
        positions = [position for one in chunk for position in one.positions]
        return np.concatenate(parts) if len(parts) > 1 else parts[0], positions
