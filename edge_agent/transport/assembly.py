"""Puts the tensors of one turn together from TENSOR_BEGIN, CHUNK and END, within the limits. Pure state, no I/O."""

from __future__ import annotations

from collections.abc import Collection

from edge_agent._core import Filling
from edge_agent.transport.codecs import PICTURE_CODECS, PIXELS, EncodedTensor, check_declaration
from edge_agent.transport.frames import Frame, FrameError, FrameType
from edge_agent.transport.limits import Limits
from edge_agent.transport.messages import TensorBegin


class TensorAssembly:
    """The tensors that one TURN promised, in the order of their names in it. One arrives at a time, each once.

    Sizes are checked when they are declared. Then a tensor has its room, of which only what really came is touched, and
    every byte is copied once: from its frame to where it stays.
    Names are not: reading every byte once more costs as much as all else of an upload, so whoever opens the tensors
    checks them (encoded.check_name), away from the event loop.
    """

    def __init__(
        self,
        tensor_ids: tuple[str, ...],
        limits: Limits,
        encoder_ids: Collection[str],
        hidden_size: int,
        codecs: Collection[str],
    ) -> None:
        self._ids = tensor_ids
        self._limits = limits
        self._encoder_ids = encoder_ids
        self._hidden = hidden_size
        self._codecs = codecs
        self._done: dict[str, EncodedTensor] = {}
        self._begin: TensorBegin | None = None
        self._filling: Filling | None = None
        self._compressed = 0
        self._decoded = 0
        self._provided: set[str] = set()
        self._skipping = False

    @property
    def complete(self) -> bool:
        return len(self._done) == len(self._ids)

    def has(self, name: str) -> bool:
        """Whether the tensor of that name is here."""
        return name in self._done

    @property
    def filling(self) -> Filling | None:
        """Where the next TENSOR_CHUNK belongs; None where none may come now, or its bytes are skipped."""
        return None if self._skipping else self._filling

    def tensors(self) -> tuple[EncodedTensor, ...]:
        """All tensors, once `complete`."""
        return tuple(self._done[name] for name in self._ids)

    def drop(self) -> None:
        """Let go of all bytes: the turn is over, and what remembers it may live on until it is collected."""
        self._done.clear()
        self._begin = self._filling = None

    def provide(self, name: str, tensor: EncodedTensor) -> None:
        """The one of that name is known already; frames that still bring it are skipped. Counts towards the limits."""
        if name in self._ids and name not in self._done:
            self._count(check_declaration(tensor.codec, tensor.shape, self._limits), len(tensor.payload))
            self._done[name] = tensor
            self._provided.add(name)

    def accept(self, frame: Frame) -> None:
        """Take one TENSOR frame. Raises FrameError (`protocol`, `bad_tensor`, `too_large`, `unknown_encoder`, ...)."""
        if frame.type == FrameType.TENSOR_BEGIN:
            begin = TensorBegin.from_frame(frame, self._limits)
            self._skipping = self._begin is None and begin.tensor_id in self._provided
            if not self._skipping:
                self._open(begin)
        elif self._skipping and frame.type == FrameType.TENSOR_END:
            self._skipping = False
        elif frame.type == FrameType.TENSOR_CHUNK:
            self._add(frame.payload)
        else:
            self._close()

    def _add(self, chunk: bytes) -> None:
        if self._skipping:
            return
        if self._filling is None:
            raise FrameError("TENSOR_CHUNK came without TENSOR_BEGIN")
        if not 1 <= len(chunk) <= self._limits.chunk_bytes:
            raise FrameError(f"a chunk of {len(chunk)} bytes; 1 to {self._limits.chunk_bytes}", code="too_large")
        if self._filling.filled + len(chunk) > self._filling.size:
            raise FrameError("a tensor has more bytes than TENSOR_BEGIN said", code="bad_tensor")
        self._filling.add(chunk)

    def _open(self, begin: TensorBegin) -> None:
        if self._begin is not None:
            raise FrameError("TENSOR_BEGIN came before the tensor ahead of it ended")
        if begin.tensor_id not in self._ids or begin.tensor_id in self._done:
            raise FrameError("TENSOR_BEGIN names a tensor that TURN did not, or that is already here")
        if begin.encoder_id not in self._encoder_ids:
            raise FrameError(f"no decoder here reads embeddings of {begin.encoder_id!r}", code="unknown_encoder")
        picture = begin.codec in PICTURE_CODECS
        if begin.codec not in self._codecs or picture != (begin.encoder_id == PIXELS):
            text = f"codec {begin.codec!r} for {begin.encoder_id!r} is not known here"
            raise FrameError(text, code="unknown_codec")
        decoded = check_declaration(begin.codec, begin.shape, self._limits)
        if not picture and begin.shape[1] != self._hidden:
            raise FrameError(f"embeddings are {begin.shape[1]} wide, not {self._hidden}", code="bad_tensor")
        self._count(decoded, begin.size_bytes)
        self._begin, self._filling = begin, Filling(begin.size_bytes)

    def _count(self, decoded: int, compressed: int) -> None:
        self._decoded += decoded
        self._compressed += compressed
        if self._decoded > self._limits.decoded_bytes_per_turn:
            raise FrameError("the tensors of a turn decode to more than its limit", code="too_large")
        if self._compressed > self._limits.compressed_bytes_per_turn:
            raise FrameError("the tensors of a turn are larger than its limit", code="too_large")

    def _close(self) -> None:
        begin, filling = self._begin, self._filling
        if begin is None or filling is None:
            raise FrameError("TENSOR_END came without TENSOR_BEGIN")
        if filling.filled != begin.size_bytes:
            raise FrameError(f"a tensor ended at {filling.filled} of {begin.size_bytes} bytes", code="bad_tensor")
        self._done[begin.tensor_id] = begin.tensor(filling.finish())
        self._begin = self._filling = None
