"""Makes a random-weight model of the idefics3 family with tokenizer and processor, in the layout of SmolVLM.

usage: python -m tools.smolvlm.build FOLDER [--size tiny|small|256m]      (needs torch and transformers 5)
"""

from __future__ import annotations

import argparse
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GenerationConfig, Idefics3Config, Idefics3ForConditionalGeneration

SPECIAL = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<fake_token_around_image>",
    "<image>",
    "<global-img>",
    *(f"<row_{row}_col_{column}>" for row in range(1, 7) for column in range(1, 7)),
    "<end_of_utterance>",
)
TEMPLATE = (
    "<|im_start|>{% for message in messages %}{{message['role'] | capitalize}}"
    "{% if message['content'][0]['type'] == 'image' %}{{':'}}{% else %}{{': '}}{% endif %}"
    "{% for line in message['content'] %}{% if line['type'] == 'text' %}{{line['text']}}"
    "{% elif line['type'] == 'image' %}{{ '<image>' }}{% endif %}{% endfor %}<end_of_utterance>\n{% endfor %}"
    "{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)
CORPUS = (
    "User: what is in the picture? Assistant: a red cup and a green plate on the table.",
    "User: how many people are there? Assistant: two people and one dog are in front of the house.",
    "User: is there a cat, or a dog? Assistant: yes, there is. No, there is not.\n\n",
    "describe the image. what colour is the shape? where is the bicycle? left of, right of, above and below",
)


@dataclass(frozen=True, slots=True)
class Size:
    """Sides in pixels, widths, and how many layers. `group`: heads of the text that share keys and values."""

    tile: int
    longest: int
    patch: int
    vision_width: int
    vision_layers: int
    width: int
    layers: int
    vocab: int
    head_dim: int = 8
    scale: int = 2
    group: int = 2
    vision_inner: int = 0
    inner: int = 0
    context: int = 2048


SIZES = {
    "tiny": Size(32, 128, 8, 24, 2, 32, 2, 420),
    "small": Size(64, 256, 8, 64, 3, 128, 4, 600),
    "256m": Size(512, 2048, 16, 768, 12, 576, 30, 49280, 64, 4, 3, 3072, 1536, 8192),  # SmolVLM-256M's, to be timed
}


def tokenizer_of(size: Size) -> Tokenizer:
    """Byte-level BPE with SmolVLM's special tokens, learned on a few sentences."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    room = size.vocab - len(SPECIAL)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    made.train_from_iterator(CORPUS * 4, trainers.BpeTrainer(vocab_size=room, initial_alphabet=alphabet))
    made.add_special_tokens([AddedToken(one, special=True, normalized=False) for one in SPECIAL])
    return made


def config_of(size: Size, tokenizer: Tokenizer) -> Idefics3Config:
    """The configuration of the model; grouped keys and values, as SmolVLM has them."""
    heads = size.width // size.head_dim
    return Idefics3Config(
        scale_factor=size.scale,
        image_token_id=tokenizer.token_to_id("<image>"),
        pad_token_id=tokenizer.token_to_id("<|im_end|>"),
        vision_config={
            "hidden_size": size.vision_width,
            "intermediate_size": size.vision_inner or 2 * size.vision_width,
            "num_hidden_layers": size.vision_layers,
            "num_attention_heads": size.vision_width // size.head_dim,
            "image_size": size.tile,
            "patch_size": size.patch,
        },
        text_config={
            "model_type": "llama",
            "hidden_size": size.width,
            "intermediate_size": size.inner or 3 * size.width,
            "num_hidden_layers": size.layers,
            "num_attention_heads": heads,
            "num_key_value_heads": heads // size.group,
            "head_dim": size.head_dim,
            "vocab_size": max(size.vocab, tokenizer.get_vocab_size()),
            "max_position_embeddings": size.context,
            "rms_norm_eps": 1e-5,
            "rope_theta": 10000.0,
            "pad_token_id": tokenizer.token_to_id("<|im_end|>"),
        },
    )


def model_of(config: Idefics3Config, seed: int = 0) -> Idefics3ForConditionalGeneration:
    """Random weights, spread so widely that answers differ: small ones would make every logit alike."""
    torch.manual_seed(seed)
    model = Idefics3ForConditionalGeneration(config).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim >= 2:
                fan_in = weight[0].numel()
                gain = 4.0 if "lm_head" in name or "modality_projection" in name else 1.6
                weight.copy_(torch.randn_like(weight) * (1.0 if "embed" in name else gain / fan_in**0.5))
    return model


def write(folder: Path, size: Size, seed: int = 0) -> None:
    """Configuration, tokenizer and processor in `folder`, the weights in `folder`/torch."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = tokenizer_of(size)
    config = config_of(size, tokenizer)
    model = model_of(config, seed)
    end = tokenizer.token_to_id("<end_of_utterance>")
    model.generation_config = GenerationConfig(
        bos_token_id=tokenizer.token_to_id("<|im_start|>"),
        eos_token_id=end,
        pad_token_id=tokenizer.token_to_id("<|im_end|>"),
    )
    model.save_pretrained(folder / "torch")
    for name in ("config.json", "generation_config.json"):
        shutil.copy(folder / "torch" / name, folder / name)
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    _write_json(
        folder / "tokenizer_config.json",
        {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "<|im_end|>", "eos_token": "<end_of_utterance>"},
    )
    sequence = (size.tile // size.patch) ** 2 // size.scale**2
    _write_json(folder / "processor_config.json", {"processor_class": "Idefics3Processor", "image_seq_len": sequence})
    _write_json(folder / "chat_template.json", {"chat_template": TEMPLATE})
    _write_json(
        folder / "preprocessor_config.json",
        {
            "image_processor_type": "Idefics3ImageProcessor",
            "processor_class": "Idefics3Processor",
            "do_convert_rgb": True,
            "do_image_splitting": True,
            "do_resize": True,
            "do_rescale": True,
            "do_normalize": True,
            "do_pad": True,
            "size": {"longest_edge": size.longest},
            "max_image_size": {"longest_edge": size.tile},
            "resample": 1,
            "rescale_factor": 1 / 255,
            "image_mean": [0.5, 0.5, 0.5],
            "image_std": [0.5, 0.5, 0.5],
        },
    )


def _write_json(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--size", choices=SIZES, default="tiny")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    write(given.folder, SIZES[given.size], given.seed)


if __name__ == "__main__":
    main()
