"""The cloud's decoder as vLLM runs it: two Llama-like decoders side by side, whose probabilities are averaged."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from vllm.config import VllmConfig
from vllm.model_executor.layers.attention import Attention
from vllm.model_executor.models.interfaces import SupportsMRoPE, SupportsMultiModal
from vllm.multimodal import MULTIMODAL_REGISTRY

from .reading import IMAGE, Dummies, Reading, ReadingInfo
from .settings import DecoderConfig

LEAST = 1e-9
"""Added to each mean probability before its logarithm, as in the graph."""


def positions_of(length: int, pictures: Sequence[tuple[int, int]], text_position: int) -> tuple[list[int], int]:
    """The position of each of `length` tokens, and what has to be added to the number of a later one.

    `pictures` are (first token, rows) of embeddings: those count from 0 on, all other tokens from `text_position` on.
    """
    kinds = [False] * length
    for first, rows in pictures:
        kinds[first : first + rows] = [True] * rows
    made, seen, said = [], 0, text_position
    for picture in kinds:
        made.append(seen if picture else said)
        seen, said = seen + picture, said + (not picture)
    return made, said - length


class Norm(nn.Module):  # type: ignore[misc]
    """x / rms(x) * weight over the last axis."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = x / torch.sqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5) * self.weight
        return y


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """`x` [n, heads, d], `cos` and `sin` [n, 1, d]."""
    half = x.shape[-1] // 2
    return x * cos + torch.cat((-x[..., half:], x[..., :half]), dim=-1) * sin


class Layer(nn.Module):  # type: ignore[misc]
    """Attention over vLLM's paged cache, and a gated MLP."""

    def __init__(self, config: DecoderConfig, vllm_config: VllmConfig, prefix: str) -> None:
        super().__init__()
        width, self.heads, self.head_dim = config.hidden_size, config.num_attention_heads, config.head_dim
        self.attention_norm, self.mlp_norm = Norm(width), Norm(width)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.project = nn.Linear(width, width, bias=False)
        self.gate = nn.Linear(width, config.intermediate_size, bias=False)
        self.up = nn.Linear(width, config.intermediate_size, bias=False)
        self.down = nn.Linear(config.intermediate_size, width, bias=False)
        self.attention = Attention(
            self.heads,
            self.head_dim,
            self.head_dim**-0.5,
            cache_config=vllm_config.cache_config,
            prefix=f"{prefix}.attention",
        )

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """[n, hidden] to the same, `cos` and `sin` [n, 1, d]."""
        qkv = self.qkv(self.attention_norm(x)).view(-1, 3, self.heads, self.head_dim)
        query, key = rotate(qkv[:, 0], cos, sin), rotate(qkv[:, 1], cos, sin)  # [n, heads, d]
        seen = self.attention(query.flatten(1), key.flatten(1), qkv[:, 2].flatten(1))  # [n, hidden]
        x = x + self.project(seen)
        y = self.mlp_norm(x)
        made: Tensor = x + self.down(F.silu(self.gate(y)) * self.up(y))
        return made


class Member(nn.Module):  # type: ignore[misc]
    """One decoder of the ensemble."""

    def __init__(self, config: DecoderConfig, count: int, first: int, vllm_config: VllmConfig, prefix: str) -> None:
        super().__init__()
        self.position = nn.Embedding(config.max_position_embeddings, config.hidden_size)
        names = (f"{prefix}layers.{first + at}" for at in range(count))  # vLLM tells caches apart by that number
        self.layers = nn.ModuleList(Layer(config, vllm_config, name) for name in names)
        self.norm = Norm(config.hidden_size)

    def forward(self, x: Tensor, positions: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        x = x + self.position(positions)
        for layer in self.layers:
            x = layer(x, cos, sin)
        y: Tensor = self.norm(x)
        return y


@MULTIMODAL_REGISTRY.register_processor(Reading, info=ReadingInfo, dummy_inputs=Dummies)
class EdgeAgentForConditionalGeneration(nn.Module, SupportsMultiModal, SupportsMRoPE):  # type: ignore[misc]
    """What tools.vllm.export wrote. Positions of its own come by M-RoPE's door, with one number a token."""

    @classmethod
    def get_placeholder_str(cls, modality: str, i: int) -> str | None:
        if modality.startswith("image"):
            return IMAGE
        raise ValueError(f"{modality} is not read, embeddings of a picture are")

    def __init__(self, *, vllm_config: VllmConfig, prefix: str = "") -> None:
        super().__init__()
        self.config: DecoderConfig = vllm_config.model_config.hf_config
        config = self.config
        self.words = nn.Embedding(config.vocab_size, config.hidden_size)
        for name in ("cos", "sin"):
            self.register_buffer(name, torch.zeros(config.max_position_embeddings, config.head_dim))
        members, first = [], 0
        for count in config.member_layers:
            members.append(Member(config, count, first, vllm_config, f"{prefix}." if prefix else ""))
            first += count
        self.members = nn.ModuleList(members)

    def get_language_model(self) -> nn.Module:
        return self

    def get_mrope_input_positions(self, input_tokens: list[int], mm_features: list[Any]) -> tuple[Tensor, int]:
        pictures = [(one.mm_position.offset, one.mm_position.length) for one in mm_features]
        made, later = positions_of(len(input_tokens), pictures, self.config.text_position)
        return torch.tensor([made]), later  # [1, n]

    def embed_multimodal(self, **kwargs: Any) -> list[Tensor]:
        """`image_embeds` [pictures, rows, hidden], or a list of such: what was sent, as it is."""
        sent = kwargs.get("image_embeds")
        return [] if sent is None else [one.reshape(-1, self.config.hidden_size) for one in sent]

    def embed_input_ids(
        self, input_ids: Tensor, multimodal_embeddings: Any = None, *, is_multimodal: Tensor | None = None
    ) -> Tensor:
        made = self.words(input_ids) * self.config.hidden_size**0.5
        if multimodal_embeddings is not None and len(multimodal_embeddings) and is_multimodal is not None:
            made[is_multimodal] = torch.cat(list(multimodal_embeddings)).to(made.dtype)
        return made

    def forward(
        self,
        input_ids: Tensor | None,
        positions: Tensor,
        intermediate_tensors: Any = None,
        inputs_embeds: Tensor | None = None,
        **kwargs: Any,
    ) -> Tensor:
        """Positions [1, n] and [n, hidden] to [n, members * hidden]."""
        x = self.embed_input_ids(input_ids) if inputs_embeds is None else inputs_embeds
        at = positions.reshape(-1, x.shape[0])[0].clamp(max=self.config.max_position_embeddings - 1)
        cos, sin = self.cos[at][:, None], self.sin[at][:, None]  # [n, 1, d]
        return torch.cat([member(x, at, cos, sin) for member in self.members], dim=-1)

    def compute_logits(self, hidden_states: Tensor) -> Tensor:
        """[n, members * hidden] to logarithms of the mean probability, [n, vocab]."""
        parts = hidden_states.chunk(len(self.members), dim=-1)
        odds = [torch.softmax(F.linear(part, self.words.weight), dim=-1) for part in parts]
        return torch.log(torch.stack(odds).mean(dim=0) + LEAST)

    def load_weights(self, weights: Iterable[tuple[str, Tensor]]) -> set[str]:
        """Raises ValueError where a weight is missing, is not known, or has another shape."""
        own = dict(self.named_parameters()) | dict(self.named_buffers())
        loaded = set()
        for name, values in weights:
            if name not in own or own[name].shape != values.shape:
                raise ValueError(f"{name} {list(values.shape)} does not belong to this decoder")
            own[name].data.copy_(values)
            loaded.add(name)
        missing = {name for name in own if ".attention." not in name} - loaded
        if missing:
            raise ValueError(f"the folder lacks {sorted(missing)[:3]}")
        return loaded
