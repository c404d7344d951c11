"""A bundle of our own ONNX runtime as backend: greedy, on the CPU, one question at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from cloud_stub.backends.base import Prompt
from edge_agent.transport.projected import register_bases
from edge_agent.types import Generation, TokenEvent
from edge_agent.vlm import Bundle, Generator, summarise


class OnnxBackend:
    """Opens and verifies the bundle at `path`. Raises ModelError. `threads` are those of one inference."""

    def __init__(self, path: Path, threads: int = 1) -> None:
        self._bundle = Bundle.open(path)
        register_bases(self._bundle.bases)
        self._generator = Generator(self._bundle, threads=threads)
        self.model = self._bundle.name
        own = (self._bundle.encoder_id, self._bundle.audio_encoder_id, *self._bundle.manifest.also_reads)
        self.encoder_ids = tuple(i for i in own if i)
        self.tokenizer_id: str | None = self._bundle.tokenizer_id
        self.hidden_size = self._bundle.hidden_size
        detail = self._bundle.layout.detail
        self.detail_views = None if detail is None else (detail.rows, detail.columns)

    def prompt_tokens(self, prompt: Prompt) -> int:
        made = self._generator.prompt(prompt.embeddings, prompt.question, prompt.history, prompt.max_new_tokens)
        return made.rows

    def stream(self, prompt: Prompt, cancelled: Callable[[], bool]) -> Iterator[TokenEvent]:
        return self._generator.stream(
            prompt.embeddings,
            prompt.question,
            history=prompt.history,
            max_new_tokens=prompt.max_new_tokens,
            draft=prompt.draft,
            cancelled=cancelled,
        )

    def summarise(self, events: Sequence[TokenEvent]) -> Generation:
        return summarise(events, self._bundle.calibration)
