"""A plugin of vLLM's (entry point `vllm.general_plugins`): teaches it the decoder that tools.vllm.export writes."""

from __future__ import annotations

ARCHITECTURE = "EdgeAgentForConditionalGeneration"


def register() -> None:
    """Called by vLLM in each of its processes; the model itself is imported where it is needed."""
    from transformers import AutoConfig
    from vllm import ModelRegistry

    from .settings import DecoderConfig

    AutoConfig.register(DecoderConfig.model_type, DecoderConfig, exist_ok=True)
    if ARCHITECTURE not in ModelRegistry.get_supported_archs():
        ModelRegistry.register_model(ARCHITECTURE, f"{__name__}.model:{ARCHITECTURE}")
