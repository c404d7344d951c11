"""The decode loop: embeddings and a question in, one token at a time out, greedy, cancellable before each token."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from edge_agent.errors import UsageError
from edge_agent.types import F32, Embeddings, TokenEvent, Turn
from edge_agent.vlm.bundle import Bundle
from edge_agent.vlm.confidence import token_statistics
from edge_agent.vlm.decoder import Decoder
from edge_agent.vlm.evidence import Evidence
from edge_agent.vlm.prompt import PromptWriter

MAX_REPEATS = 3


def never() -> bool:
    """The `cancelled` of a caller that never cancels."""
    return False


def looping(ids: Sequence[int]) -> bool:
    """Whether the last MAX_REPEATS tokens are one and the same: a small model that does not know may never stop."""
    return len(ids) >= MAX_REPEATS and len(set(ids[-MAX_REPEATS:])) == 1


class Generator:
    """Answers questions about embeddings. One question at a time; calls from several threads must be serialised."""

    def __init__(self, bundle: Bundle, threads: int = 1) -> None:
        self._bundle = bundle
        self._decoder = Decoder(bundle, threads)
        self._writer = PromptWriter(bundle)

    def stream(
        self,
        embeddings: Sequence[Embeddings],
        question: str,
        *,
        history: Sequence[Turn] = (),
        max_new_tokens: int = 16,
        cancelled: Callable[[], bool] = never,
    ) -> Iterator[TokenEvent]:
        """Yields each token as it is made; the end token comes last, with empty text.

        `embeddings` are views of pictures and sounds of [tokens, hidden], see Evidence; none means a question without.
        It also ends before a token comes MAX_REPEATS times in a row. `cancelled` is asked before every token. What is
        wrong with the request is raised at the call, not at the first token: UsageError (empty or too long a question),
        ModelError (embeddings of another encoder or shape, too many of them).
        """
        if max_new_tokens < 1:
            raise UsageError(f"max_new_tokens is {max_new_tokens}", "ask for at least one token")
        evidence = Evidence.of(self._bundle, embeddings)
        prompt = self._writer.write(question, history, max_new_tokens)
        text = self._decoder.embed(prompt.ids)  # [t, hidden]
        embeds = evidence.before(text)  # [views + sound + t, hidden]
        positions = [*evidence.positions, *range(prompt.start, prompt.start + len(prompt.ids))]
        return self._decode(embeds, positions, max_new_tokens, cancelled)

    def _decode(
        self, embeds: F32, positions: list[int], limit: int, cancelled: Callable[[], bool]
    ) -> Iterator[TokenEvent]:
        cache = self._decoder.start()
        made: list[int] = []
        told = ""
        while len(made) < limit and not cancelled():
            logits = self._decoder.step(embeds, positions, cache)  # [vocab]
            token = int(logits.argmax())
            probability, entropy = token_statistics(logits, token, self._bundle.calibration.temperature)
            if token in self._writer.ends:
                yield TokenEvent(token, "", probability, entropy)
                return
            made.append(token)
            if looping(made):
                return
            whole = self._writer.decode(made)
            yield TokenEvent(token, whole[len(told) :], probability, entropy)
            told = whole
            embeds, positions = self._decoder.embed([token]), [positions[-1] + 1]
