"""What vLLM asks of a model that reads embeddings: how many there may be, and where they stand among the tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from transformers import BatchFeature
from vllm.multimodal.inputs import MultiModalFieldConfig
from vllm.multimodal.parse import ImageEmbeddingItems
from vllm.multimodal.processing import (
    BaseDummyInputsBuilder,
    BaseMultiModalProcessor,
    BaseProcessingInfo,
    PromptReplacement,
    PromptUpdate,
)

from .settings import DecoderConfig

IMAGE = "<image>"


class ReadingInfo(BaseProcessingInfo):  # type: ignore[misc]
    """One picture a question, of at most `views` views. There is no processor: pixels are not read."""

    def get_hf_config(self) -> DecoderConfig:
        config: DecoderConfig = self.ctx.get_hf_config(DecoderConfig)
        return config

    def get_supported_mm_limits(self) -> Mapping[str, int | None]:
        return {"image": 1}

    def get_supported_mm_processor_kwargs(self) -> dict[str, set[str]]:
        return {}

    def get_mm_max_tokens_per_item(self, seq_len: int, mm_counts: Mapping[str, int]) -> Mapping[str, int]:
        return {"image": self.most}

    @property
    def most(self) -> int:
        """Rows of a picture with all its views."""
        config = self.get_hf_config()
        return config.views * config.image_seq_len


class Dummies(BaseDummyInputsBuilder[ReadingInfo]):  # type: ignore[misc]
    """The largest question, to see how much memory it takes."""

    def get_dummy_text(self, mm_counts: Mapping[str, int]) -> str:
        return IMAGE * mm_counts.get("image", 0)

    def get_dummy_mm_data(self, seq_len: int, mm_counts: Mapping[str, int], mm_options: Mapping[str, Any]) -> Any:
        count = mm_counts.get("image", 0)
        return {"image": torch.zeros(count, self.info.most, self.info.get_hf_config().hidden_size)} if count else {}


class Reading(BaseMultiModalProcessor[ReadingInfo]):  # type: ignore[misc]
    """Puts as many placeholders as there are rows in place of the one that the chat template writes."""

    def _call_hf_processor(self, hf_data: Mapping[str, object], hf_kwargs: Mapping[str, object]) -> BatchFeature:
        raise ValueError("this model reads image_embeds, not pictures")

    def _get_mm_fields_config(
        self, hf_inputs: BatchFeature, hf_processor_mm_kwargs: Mapping[str, object]
    ) -> Mapping[str, MultiModalFieldConfig]:
        return {"image_embeds": MultiModalFieldConfig.batched("image")}

    def _get_prompt_updates(
        self, mm_items: Any, hf_processor_mm_kwargs: Mapping[str, object], out_mm_kwargs: Any
    ) -> Sequence[PromptUpdate]:
        config = self.info.get_hf_config()

        def placeholders(index: int) -> list[int]:
            rows: int = mm_items.get_items("image", ImageEmbeddingItems).get_feature_size(index)
            if rows % config.image_seq_len or rows > self.info.most:
                raise ValueError(f"{rows} rows: a picture has at most {config.views} times {config.image_seq_len}")
            return [config.image_token_id] * rows

        return [PromptReplacement(modality="image", target=[config.image_token_id], replacement=placeholders)]
