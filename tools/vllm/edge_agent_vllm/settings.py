"""config.json of the folder, as transformers reads it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from transformers import PretrainedConfig


class DecoderConfig(PretrainedConfig):  # type: ignore[misc]
    """Sizes, and where things stand: embeddings of `views` times `image_seq_len` rows at the positions from 0 on, text
    from `text_position` on, whatever stands before it. `member_layers` are the layers of each decoder of the ensemble.
    """

    model_type = "edge_agent_decoder"

    def __init__(
        self,
        vocab_size: int = 4661,
        hidden_size: int = 192,
        intermediate_size: int = 576,
        num_attention_heads: int = 6,
        num_key_value_heads: int = 6,
        head_dim: int = 32,
        num_hidden_layers: int = 11,
        member_layers: Sequence[int] = (5, 6),
        max_position_embeddings: int = 512,
        image_token_id: int = 5,
        image_seq_len: int = 51,
        views: int = 5,
        text_position: int = 272,
        **rest: Any,
    ) -> None:
        self.vocab_size = vocab_size
        self.hidden_size = hidden_size
        self.intermediate_size = intermediate_size
        self.num_attention_heads = num_attention_heads
        self.num_key_value_heads = num_key_value_heads
        self.head_dim = head_dim
        self.num_hidden_layers = num_hidden_layers
        self.member_layers = list(member_layers)
        self.max_position_embeddings = max_position_embeddings
        self.image_token_id = image_token_id
        self.image_seq_len = image_seq_len
        self.views = views
        self.text_position = text_position
        super().__init__(**rest)
