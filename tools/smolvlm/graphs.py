"""The three graphs of an idefics3 model as torch modules that export to plain ONNX operators (opset 17)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

OPSET = 17


class VisionGraph(nn.Module):  # type: ignore[misc]
    """pixel_values [b, n, 3, H, W], pixel_attention_mask [b, n, H, W] to image_features [b * n, tokens, hidden]."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.vision, self.connector = model.model.vision_model, model.model.connector
        self.patch = model.config.vision_config.patch_size
        self.side = model.config.vision_config.image_size // self.patch

    def forward(self, pixel_values: Tensor, pixel_attention_mask: Tensor) -> Tensor:
        pixels = pixel_values.flatten(0, 1)  # [b * n, 3, H, W]
        mask = pixel_attention_mask.flatten(0, 1).unsqueeze(1).to(pixels.dtype)  # [b * n, 1, H, W]
        seen = functional.max_pool2d(mask, self.patch).squeeze(1) > 0  # [b * n, rows, columns]
        embeddings = self.vision.embeddings
        hidden = embeddings.patch_embedding(pixels).flatten(2).transpose(1, 2)  # [b * n, patches, width]
        hidden = hidden + embeddings.position_embedding(self._positions(seen))
        hidden = self._encode(hidden, seen.flatten(1))
        features: Tensor = self.connector(self.vision.post_layernorm(hidden))
        return features

    def _positions(self, seen: Tensor) -> Tensor:
        """Where each patch lies on the grid of a full square, by the share of the seen part that is before it."""
        edges = torch.arange(1, self.side, dtype=torch.float32) / self.side
        rows, columns = seen[:, :, 0].sum(1), seen[:, 0, :].sum(1)  # [b * n]
        down = torch.arange(self.side, dtype=torch.float32)[None] / rows[:, None].clamp(min=1)
        across = torch.arange(self.side, dtype=torch.float32)[None] / columns[:, None].clamp(min=1)
        row = (down.clamp(max=1 - 1e-6)[..., None] >= edges).sum(-1)  # [b * n, side]
        column = (across.clamp(max=1 - 1e-6)[..., None] >= edges).sum(-1)
        places = (row[:, :, None] * self.side + column[:, None, :]).flatten(1)
        return torch.where(seen.flatten(1), places, torch.zeros_like(places))

    def _encode(self, hidden: Tensor, seen: Tensor) -> Tensor:
        hide = torch.where(seen, 0.0, torch.finfo(torch.float32).min)[:, None, None, :]  # [b * n, 1, 1, patches]
        for layer in self.vision.encoder.layers:
            attention, x = layer.self_attn, layer.layer_norm1(hidden)
            shape = (x.shape[0], x.shape[1], attention.num_heads, attention.head_dim)
            q, k, v = (
                one(x).view(shape).transpose(1, 2) for one in (attention.q_proj, attention.k_proj, attention.v_proj)
            )
            weights = torch.softmax(q @ k.transpose(-1, -2) * attention.scale + hide, dim=-1)
            hidden = hidden + attention.out_proj((weights @ v).transpose(1, 2).flatten(2))
            hidden = hidden + layer.mlp(layer.layer_norm2(hidden))
        return hidden


class EmbedGraph(nn.Module):  # type: ignore[misc]
    """input_ids [b, t] int64 to inputs_embeds [b, t, hidden]."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.table = model.get_input_embeddings()

    def forward(self, input_ids: Tensor) -> Tensor:
        rows: Tensor = self.table(input_ids)
        return rows


class DecoderGraph(nn.Module):  # type: ignore[misc]
    """inputs_embeds [b, q, hidden], attention_mask [b, past + q] int64, position_ids [b, q], then past keys and values
    [b, kv heads, past, d] a layer, to logits [b, q, vocab] and the longer keys and values.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.text, self.head = model.model.text_model, model.lm_head
        config = model.config.text_config
        self.heads, self.kv_heads, self.head_dim = (
            config.num_attention_heads,
            config.num_key_value_heads,
            config.head_dim,
        )
        self.register_buffer("frequencies", self.text.rotary_emb.inv_freq.clone().float())

    def forward(
        self, inputs_embeds: Tensor, attention_mask: Tensor, position_ids: Tensor, *past: Tensor
    ) -> tuple[Tensor, ...]:
        before, new = past[0].shape[2], inputs_embeds.shape[1]
        columns, rows = torch.arange(before + new), torch.arange(new) + before
        seen = (columns[None, :] <= rows[:, None])[None, None] & attention_mask.bool()[:, None, None, :]
        hide = torch.where(seen, 0.0, torch.finfo(torch.float32).min)  # [b, 1, q, past + q]
        angles = position_ids[..., None].float() * self.frequencies  # [b, q, d / 2]
        turn = torch.cat([angles, angles], dim=-1)[:, None]  # [b, 1, q, d]
        kept: list[Tensor] = []
        hidden = inputs_embeds
        for index, layer in enumerate(self.text.layers):
            made, pair = self._attend(layer, hidden, hide, turn, past[2 * index], past[2 * index + 1])
            hidden = hidden + made
            hidden = hidden + layer.mlp(layer.post_attention_layernorm(hidden))
            kept += pair
        return (self.head(self.text.norm(hidden)), *kept)

    def _attend(
        self, layer: Any, hidden: Tensor, hide: Tensor, turn: Tensor, keys: Tensor, values: Tensor
    ) -> tuple[Tensor, list[Tensor]]:
        attention, x = layer.self_attn, layer.input_layernorm(hidden)
        q = self._split(attention.q_proj(x), self.heads)
        k = torch.cat([keys, _turned(self._split(attention.k_proj(x), self.kv_heads), turn)], dim=2)
        v = torch.cat([values, self._split(attention.v_proj(x), self.kv_heads)], dim=2)
        groups = self.heads // self.kv_heads
        wide_k, wide_v = (one.repeat_interleave(groups, dim=1) for one in (k, v))
        weights = torch.softmax(_turned(q, turn) @ wide_k.transpose(-1, -2) * self.head_dim**-0.5 + hide, dim=-1)
        made: Tensor = attention.o_proj((weights @ wide_v).transpose(1, 2).flatten(2))
        return made, [k, v]

    def _split(self, x: Tensor, heads: int) -> Tensor:
        return x.view(x.shape[0], x.shape[1], heads, self.head_dim).transpose(1, 2)  # [b, heads, q, d]


def _turned(x: Tensor, turn: Tensor) -> Tensor:
    """Rotary position embedding: x * cos + rotate_half(x) * sin."""
    half = x.shape[-1] // 2
    other = torch.cat([-x[..., half:], x[..., :half]], dim=-1)
    return x * torch.cos(turn) + other * torch.sin(turn)
