"""vLLM as backend: embeddings go into its `image_embeds` part, decoded and checked by this front.

Its server must run with --enable-mm-embeds on an address that only this front reaches: it takes what it is given.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cloud_stub.backends.base import Prompt
from cloud_stub.backends.chat_server import ChatServer
from cloud_stub.backends.openai import OpenAIBackend
from edge_agent.errors import CloudError
from edge_agent.transport.codecs import CODECS
from edge_agent.transport.frames import FrameError
from edge_agent.transport.projected import register_bases
from edge_agent.vlm import Bundle


class VllmBackend(OpenAIBackend):
    """The model that `server` serves reads what the decoder of the bundle at `path` reads. Raises ModelError.

    The tensor travels as float32 .npy. No uuid is sent, so that the engine names it by its content; its caches are kept
    apart by `cache_salt`, one of each tenant.
    """

    def __init__(self, server: ChatServer, path: Path, model: str = "") -> None:
        super().__init__(server, model)
        self._bundle = Bundle.open(path)
        register_bases(self._bundle.bases)
        self.encoder_ids = (self._bundle.encoder_id, *self._bundle.manifest.also_reads)
        self.codecs = tuple(sorted(CODECS))
        self.hidden_size = self._bundle.hidden_size
        detail = self._bundle.layout.detail
        self.detail_views = None if detail is None else (detail.rows, detail.columns)

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
