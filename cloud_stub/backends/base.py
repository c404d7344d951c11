"""The seam between the cloud's protocol and the model that answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from edge_agent.transport.codecs import PICTURE_CODECS, EncodedTensor, decode_views
from edge_agent.transport.limits import Limits
from edge_agent.transport.pictures import check_picture
from edge_agent.types import Embeddings, Generation, TokenEvent, Turn


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a backend answers: embeddings first, then earlier turns, then the question.

    `draft`: token ids that the answer is expected to begin with. Only a backend with a `tokenizer_id` is given any; it
    checks them in one pass, and its tokens are the same as without. `pictures` are JPEG or WebP, whole and of the size
    that they declare. `tenant` names who asks, without telling who that is: caches are kept apart by it.
    """

    embeddings: tuple[Embeddings, ...]
    question: str
    history: tuple[Turn, ...]
    max_new_tokens: int
    draft: tuple[int, ...] = ()
    pictures: tuple[EncodedTensor, ...] = ()
    tenant: str = ""


def opened(
    tensors: Sequence[EncodedTensor], limits: Limits
) -> tuple[tuple[Embeddings, ...], tuple[EncodedTensor, ...]]:
    """The embeddings that tensors hold, view by view, and the pictures among them, checked but not decoded.

    Raises FrameError (`bad_tensor`, `unknown_codec`, `too_large`).
    """
    pictures = tuple(one for one in tensors if one.codec in PICTURE_CODECS)
    for picture in pictures:
        check_picture(picture)
    coded = [one for one in tensors if one.codec not in PICTURE_CODECS]
    return tuple(view for one in coded for view in decode_views(one, limits)), pictures


class Backend(Protocol):
    """A decoder. Everything here is called from worker threads, never from the event loop, and may block. There are as
    many such threads as TurnDesk is told, and each has one turn.

    `encoder_ids` are the encoders whose embeddings it reads (PIXELS among them where it takes pictures), `codecs` those
    of tensors, `hidden_size` how wide embeddings are; `detail_views` (rows, columns) of the tiles that it likes to have
    of each picture, behind the whole one, or None. `tokenizer_id` names what its token ids mean (Bundle.tokenizer_id);
    None where it cannot check drafts.
    """

    model: str
    encoder_ids: tuple[str, ...]
    codecs: tuple[str, ...]
    hidden_size: int
    detail_views: tuple[int, int] | None
    tokenizer_id: str | None

    def read(self, prompt: Prompt) -> Prompt:
        """The prompt as it is answered: with embeddings in place of pictures, where this backend encodes those.
        Called once a turn, before the others. Raises CloudError, ModelError.
        """
        ...

    def prompt_tokens(self, prompt: Prompt) -> int:
        """How many tokens the prompt takes, embeddings included. Raises UsageError or ModelError if it does not fit."""
        ...

    def stream(self, prompt: Prompt, cancelled: Callable[[], bool]) -> Iterator[TokenEvent]:
        """At most `max_new_tokens` tokens as they are made; `cancelled` is asked before each. Raises as above."""
        ...

    def summarise(self, events: Sequence[TokenEvent]) -> Generation:
        """Text, calibrated confidence, largest entropy and finish reason of a whole answer."""
        ...
