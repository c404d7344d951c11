"""The connector (backbone features to streamed embeddings) and the decoder that reads them, in torch."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tools.train.places import drawn_places, places
from tools.train.settings import BACKBONE_WIDTH, CELLS, IMAGE_TOKENS, NAME_TOKENS, VIEWS, ModelConfig

Cache = list[tuple[Tensor, Tensor]]


@dataclass(slots=True)
class Look:
    """What a layer did, for the losses that guide it: `query` [b, heads, t, d], `key` [b, heads, past + t, d] (both
    rotated), `mask` [b, 1, t, past + t] and the `state` [b, t, hidden] that it left.
    """

    query: Tensor
    key: Tensor
    mask: Tensor
    state: Tensor


class Connector(nn.Module):  # type: ignore[misc]
    """[b, 49, 1280] to [b, 49, hidden]: LayerNorm, two-layer MLP, learned 2-D position, LayerNorm without scale.

    The last norm keeps every token's values near one size, so that int8 a token loses next to nothing.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(BACKBONE_WIDTH)
        self.up = nn.Linear(BACKBONE_WIDTH, config.connector)
        self.down = nn.Linear(config.connector, config.hidden)
        self.position = nn.Parameter(torch.randn(CELLS, config.hidden) * 0.3)
        self.drop = nn.Dropout(config.dropout)
        self.out = nn.LayerNorm(config.hidden, elementwise_affine=False)

    def forward(self, features: Tensor) -> Tensor:
        x = self.drop(F.gelu(self.up(self.norm(features))))  # [b, 49, connector]
        y: Tensor = self.out(self.down(x) + self.position)  # [b, 49, hidden]
        return y


class Naming(nn.Module):  # type: ignore[misc]
    """[b, 49, 1280] to [b, 2, hidden]: what the backbone's own class head calls the picture, in the decoder's words.

    Token j is the mean of the word embeddings of the j-th pieces of all class names, weighed by the head's sharpened
    probabilities, plus a mark of its own and one that grows with the largest probability; a name with fewer pieces is
    filled up with the end token. So "what is this?" is answered by copying, whether or not a photo of it was seen.
    """

    def __init__(self, config: ModelConfig, head: nn.Linear, pieces: Tensor) -> None:
        super().__init__()
        self.head = nn.Linear(BACKBONE_WIDTH, head.out_features)
        self.head.load_state_dict(head.state_dict())
        self.head.requires_grad_(False)
        self.register_buffer("pieces", pieces)  # [classes, 2] ids
        self.gain = nn.Parameter(torch.tensor(2.0))
        self.mark = nn.Parameter(torch.zeros(NAME_TOKENS, config.hidden))
        self.sure = nn.Parameter(torch.zeros(NAME_TOKENS, config.hidden))
        self.out = nn.LayerNorm(config.hidden, elementwise_affine=False)

    def table(self, words: Tensor) -> Tensor:
        """`words` [vocab, hidden] to [classes, 2 * hidden]: the embeddings of each name's pieces side by side."""
        return (words[self.pieces] * words.shape[1] ** 0.5).flatten(1)

    def classify(self, features: Tensor) -> Tensor:
        """[..., 49, 1280] to logits [..., classes]."""
        y: Tensor = self.head(features.mean(dim=-2))
        return y

    def tokens(self, logits: Tensor, table: Tensor) -> Tensor:
        """Logits [b, classes] and the table to [b, 2, hidden]."""
        odds = torch.softmax(self.gain * logits, dim=-1)  # [b, classes]
        named = (odds @ table).unflatten(1, (NAME_TOKENS, -1))  # [b, 2, hidden]
        y: Tensor = self.out(named + self.mark + self.sure * odds.amax(dim=-1)[:, None, None])
        return y


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary position: `x` [b, heads, t, d], `cos` and `sin` [b, 1, t, d]."""
    half = x.shape[-1] // 2
    turned = torch.cat((-x[..., half:], x[..., :half]), dim=-1)
    return x * cos + turned * sin


class RootMeanSquareNorm(nn.Module):  # type: ignore[misc]
    """x / rms(x) * weight over the last axis; written out because older exporters know no such operator."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5) * self.weight
        return y


class Layer(nn.Module):  # type: ignore[misc]
    """Pre-norm attention with rotary positions and a gated MLP."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.heads, self.head_dim = config.heads, config.head_dim
        self.attention_norm = RootMeanSquareNorm(config.hidden)
        self.qkv = nn.Linear(config.hidden, 3 * config.hidden, bias=False)
        self.project = nn.Linear(config.hidden, config.hidden, bias=False)
        self.mlp_norm = RootMeanSquareNorm(config.hidden)
        self.gate = nn.Linear(config.hidden, config.mlp, bias=False)
        self.up = nn.Linear(config.hidden, config.mlp, bias=False)
        self.down = nn.Linear(config.mlp, config.hidden, bias=False)
        self.drop = nn.Dropout(config.dropout)

    def forward(
        self,
        x: Tensor,
        cos: Tensor,
        sin: Tensor,
        mask: Tensor,
        past: tuple[Tensor, Tensor] | None,
        reads: Tensor | None = None,
        looks: list[Look] | None = None,
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """`x` [b, t, hidden]; `mask` [b, 1, t, past + t] bool, True = may look; keys [b, heads, past + t, d].

        `reads` [b, 1, t, 1] is 0 for tokens that nothing may look at: their keys become zero, and a zero key in the
        cache is never looked at, so that a member of an ensemble can skip tokens that another one reads.
        """
        b, t, _ = x.shape
        qkv = self.qkv(self.attention_norm(x)).view(b, t, 3, self.heads, self.head_dim).permute(2, 0, 3, 1, 4)
        query, key, value = rotate(qkv[0], cos, sin), rotate(qkv[1], cos, sin), qkv[2]
        if reads is not None:
            key = key * reads
        if past is not None:
            key, value = torch.cat((past[0], key), dim=2), torch.cat((past[1], value), dim=2)
        if reads is not None:
            mask = mask & (key.abs().amax(dim=-1) > 0)[:, :, None, :]  # [b, heads, t, past + t]
        seen = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)  # [b, heads, t, d]
        x = x + self.drop(self.project(seen.transpose(1, 2).reshape(b, t, -1)))
        y = self.mlp_norm(x)
        x = x + self.drop(self.down(F.silu(self.gate(y)) * self.up(y)))
        if looks is not None:
            looks.append(Look(query, key, mask, x))
        return x, (key, value)


class Decoder(nn.Module):  # type: ignore[misc]
    """Embeddings of image and text tokens to logits of the next token; word embeddings are shared with the output."""

    reads_tiles = True

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.words = nn.Embedding(config.vocab, config.hidden)
        nn.init.normal_(self.words.weight, std=0.05)
        self.place = nn.Embedding(VIEWS + 2, config.hidden)
        nn.init.zeros_(self.place.weight)
        self.register_buffer("places", places(config.context), persistent=False)
        self.cells = nn.Embedding(VIEWS * IMAGE_TOKENS + 1, config.hidden)
        self.cells.weight.data = drawn_places(config.hidden)
        spots = torch.arange(config.context).clamp(max=VIEWS * IMAGE_TOKENS)
        self.register_buffer("spots", spots, persistent=False)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.layers))
        self.norm = RootMeanSquareNorm(config.hidden)
        angles = torch.outer(
            torch.arange(config.context).float(),
            1000.0 ** (-torch.arange(0, config.head_dim, 2).float() / config.head_dim),
        )
        both = torch.cat((angles, angles), dim=-1)  # [context, d]
        self.register_buffer("cos", both.cos(), persistent=False)
        self.register_buffer("sin", both.sin(), persistent=False)
        for name, weight in self.named_parameters():
            if name.endswith(("project.weight", "down.weight")):
                nn.init.normal_(weight, std=0.02 / config.layers**0.5)

    def embed(self, ids: Tensor) -> Tensor:
        """[b, t] ids to [b, t, hidden], of about the size of the image embeddings."""
        y: Tensor = self.words(ids) * self.config.hidden**0.5
        return y

    def run(
        self,
        x: Tensor,
        positions: Tensor,
        mask: Tensor,
        past: Cache | None = None,
        looks: list[Look] | None = None,
    ) -> tuple[Tensor, Cache]:
        """[b, t, hidden], positions [b, t], mask [b, 1, t, past + t] to last hidden states [b, t, hidden] and cache.

        What each layer looked at is appended to `looks`.
        """
        cos, sin = self.cos[positions][:, None], self.sin[positions][:, None]  # [b, 1, t, d]
        x = x + self.place(self.places[positions]) + self.cells(self.spots[positions])
        reads = None
        if not self.reads_tiles:
            tile = (positions >= IMAGE_TOKENS) & (positions < VIEWS * IMAGE_TOKENS)  # [b, t]
            reads = (~tile).to(x.dtype)[:, None, :, None]
        kept: Cache = []
        for i, layer in enumerate(self.layers):
            x, pair = layer(x, cos, sin, mask, past[i] if past is not None else None, reads, looks)
            kept.append(pair)
        return self.norm(x), kept

    def words_weight(self) -> Tensor:
        """[vocab, hidden]: the word embeddings, which the names of classes are made of."""
        return self.words.weight

    def logits(self, hidden: Tensor) -> Tensor:
        """[..., hidden] to [..., vocab]."""
        return F.linear(hidden, self.words.weight)


class Ensemble(nn.Module):  # type: ignore[misc]
    """Decoders with the same word embeddings side by side; the answer is the mean of their probabilities."""

    def __init__(self, members: list[Decoder]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def embed(self, ids: Tensor) -> Tensor:
        y: Tensor = self.members[0].embed(ids)
        return y

    def words_weight(self) -> Tensor:
        y: Tensor = self.members[0].words_weight()
        return y

    def run(self, x: Tensor, positions: Tensor, mask: Tensor, past: Cache | None = None) -> tuple[Tensor, Cache]:
        """As Decoder.run; hidden states of all members stand side by side, caches one after the other."""
        seen, kept, at = [], [], 0
        for member in self.members:
            layers = len(member.layers)
            hidden, pairs = member.run(x, positions, mask, past[at : at + layers] if past is not None else None)
            seen.append(hidden)
            kept += pairs
            at += layers
        return torch.cat(seen, dim=-1), kept

    def logits(self, hidden: Tensor) -> Tensor:
        """[..., members * hidden] to logarithms of the mean probability, [..., vocab]."""
        parts = hidden.chunk(len(self.members), dim=-1)
        odds = [torch.softmax(member.logits(part), dim=-1) for member, part in zip(self.members, parts, strict=True)]
        return torch.log(torch.stack(odds).mean(dim=0) + 1e-9)


HOMES = {(4, 5): (0, 2, 3, 4)}
"""Layers before and after growing, to where the old ones go, if not evenly: one more before the one that finds."""


def grow(small: Decoder, config: ModelConfig) -> Decoder:
    """A deeper decoder that at first computes what `small` does: its layers spread out, new ones adding nothing yet."""
    large = Decoder(config)
    large.words.load_state_dict(small.words.state_dict())
    large.norm.load_state_dict(small.norm.state_dict())
    large.place.load_state_dict(small.place.state_dict())
    large.cells.load_state_dict(small.cells.state_dict())
    count = len(small.layers)
    homes = HOMES.get((count, config.layers), tuple(i * config.layers // count for i in range(count)))
    for i, layer in enumerate(large.layers):
        nearest = max(k for k, home in enumerate(homes) if home <= i)
        layer.load_state_dict(small.layers[nearest].state_dict())
        if i not in homes:
            assert isinstance(layer, Layer)
            nn.init.zeros_(layer.project.weight)
            nn.init.zeros_(layer.down.weight)
    return large


STRANGE = 0.5


def strange(embeddings: Tensor) -> Tensor:
    """Adds noise of a strength of its own to each picture, up to half of what the values spread by.

    There are only some three thousand photos, and a decoder soon knows their crops: those that it does not know look
    as if less was to be seen, so that it counts too few. Noise makes the known ones as hard.
    """
    strength = torch.rand(embeddings.shape[0], 1, 1) * STRANGE
    return embeddings + torch.randn_like(embeddings) * strength


def int8_noise(embeddings: Tensor) -> Tensor:
    """Adds what int8 (or, a quarter of the time, int4) a token would: uniform within half a step of max|x|/127 (/7)."""
    coarse = torch.rand(embeddings.shape[0], 1, 1) < 0.25
    levels = torch.where(coarse, 7.0, 127.0)
    step = embeddings.detach().abs().amax(dim=-1, keepdim=True) / levels
    return embeddings + (torch.rand_like(embeddings) - 0.5) * step
