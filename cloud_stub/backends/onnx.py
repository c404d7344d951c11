"""A bundle of our own ONNX runtime as backend: greedy, on the CPU, answers side by side; it encodes pictures, too."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from cloud_stub.backends.base import Prompt
from cloud_stub.backends.decoding import SIDE_BY_SIDE, Decoding
from edge_agent.errors import CloudError, ModelError
from edge_agent.transport.codecs import CODECS, PICTURE_CODECS, PIXELS
from edge_agent.transport.pictures import decode_picture
from edge_agent.transport.shipped import register_shipped
from edge_agent.types import Generation, TokenEvent
from edge_agent.vlm import Bundle, Generator, VisionEncoder, summarise

KEPT = 16  # pictures


class OnnxBackend:
    """Opens and verifies the bundle at `path`. Raises ModelError. `threads` are those of one inference.

    Pictures are encoded by the bundle at `vision`, which must have the encoder that this decoder was trained with;
    without one, none are taken. Any number of threads may ask; at most `side_by_side` answers are decoded at once. What
    was read of the last `kept` pictures is kept, at most 9 MB each, for further questions of the same tenant alone.
    """

    def __init__(
        self,
        path: Path,
        threads: int = 1,
        vision: Path | None = None,
        side_by_side: int = SIDE_BY_SIDE,
        kept: int = KEPT,
    ) -> None:
        self._bundle = Bundle.open(path)
        register_shipped(self._bundle.codec_files)
        self._generator = Generator(self._bundle, threads=threads, kept=kept)
        self._decoding = Decoding(self._generator, side_by_side)
        self._looking = threading.Lock()
        self.model = self._bundle.name
        own = (self._bundle.encoder_id, self._bundle.audio_encoder_id, *self._bundle.manifest.also_reads)
        self._vision = None if vision is None else self._encoder(vision, threads)
        takes = (PIXELS,) if self._vision is not None else ()
        self.encoder_ids = (*(i for i in own if i), *takes)
        self.codecs = tuple(sorted((*CODECS, *(PICTURE_CODECS if takes else ()))))
        self.tokenizer_id: str | None = self._bundle.tokenizer_id
        self.hidden_size = self._bundle.hidden_size
        detail = self._bundle.layout.detail
        self.detail_views = None if detail is None else (detail.rows, detail.columns)

    def read(self, prompt: Prompt) -> Prompt:
        """With the views of each picture before the other embeddings. One picture, as the decoder was trained."""
        if not prompt.pictures:
            return prompt
        if self._vision is None or len(prompt.pictures) > 1:
            most = 0 if self._vision is None else 1
            text = f"{len(prompt.pictures)} pictures; {self.model} reads {most}"
            raise CloudError(text, code="bad_request", retryable=False)
        pixels = decode_picture(prompt.pictures[0])
        with self._looking:
            views = self._vision.encode_views(pixels)
        return replace(prompt, embeddings=(*views, *prompt.embeddings), pictures=())

    def _encoder(self, path: Path, threads: int) -> VisionEncoder:
        bundle = Bundle.open(path)
        if bundle.encoder_id != self._bundle.encoder_id:
            text = f"{self.model} reads embeddings of {self._bundle.encoder_id!r}, {bundle.name} makes others"
            raise ModelError(text, "name the edge bundle of the same pair with --vision")
        return VisionEncoder(bundle, threads)

    def prompt_tokens(self, prompt: Prompt) -> int:
        made = self._generator.prompt(prompt.embeddings, prompt.question, prompt.history, prompt.max_new_tokens)
        return made.rows

    def stream(self, prompt: Prompt, cancelled: Callable[[], bool]) -> Iterator[TokenEvent]:
        return self._decoding.stream(prompt, cancelled)

    def summarise(self, events: Sequence[TokenEvent]) -> Generation:
        return summarise(events, self._bundle.calibration)
