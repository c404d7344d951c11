"""transformers in PyTorch on the same photo and prompt, where the model's folder holds its PyTorch weights too."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from edge_agent.cli.bench.measure import Contender
from edge_agent.cli.bench.vlm_scene import Scene
from edge_agent.vlm.vision import preparation_of

WEIGHTS = "model.safetensors"


def contenders(given: tuple[Scene, str]) -> list[Contender]:
    """One contender for `encode`, `prefill` and `token`; none for our own bundles, which transformers does not know."""
    scene, case = given
    folder = next((one for one in (scene.bundle.path, scene.bundle.path / "torch") if (one / WEIGHTS).is_file()), None)
    if folder is None or not scene.bundle.chats:
        return []
    calls: dict[str, Callable[[], Any]] = {
        "encode": lambda: encode(folder, scene),
        "prefill": lambda: read(folder, scene),
        "token": lambda: decode(folder, scene),
    }
    if case not in calls:
        return []
    units = scene.tokens if case == "token" else 1
    return [Contender("transformers", "transformers", lambda _: calls[case](), units=units)]


@lru_cache(maxsize=1)
def model_of(folder: Path, threads: int) -> Any:
    """The model in float32 on `threads` threads."""
    import torch
    import transformers

    torch.set_num_threads(threads)
    transformers.utils.logging.disable_progress_bar()
    return transformers.AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32).eval()


def encode(folder: Path, scene: Scene) -> Any:
    """Photo to embeddings, its views in one batch."""
    import torch

    views = [view.pixels[0, 0] for view in preparation_of(scene.bundle).look(scene.photo)]
    with torch.no_grad():
        return model_of(folder, scene.threads).get_image_features(torch.from_numpy(np.stack(views)[None]))


def read(folder: Path, scene: Scene) -> Any:
    """The prompt's embeddings through the language model; its output with the cache."""
    import torch

    model = model_of(folder, scene.threads)
    table = model.get_input_embeddings()
    parts = [
        table(torch.tensor(piece.ids)) if piece.data is None else torch.from_numpy(piece.data)
        for chunk in scene.prompt.chunks
        for piece in chunk
    ]
    with torch.no_grad():
        made = model.model.text_model(inputs_embeds=torch.cat(parts)[None], use_cache=True)
        model.lm_head(made.last_hidden_state[:, -1:])
    return made.past_key_values


def decode(folder: Path, scene: Scene) -> Any:
    """The tokens of the scene, one after the other, behind the prompt, which is kept."""
    import torch

    model, past = model_of(folder, scene.threads), kept(folder, scene)
    length = past.get_seq_length()
    with torch.no_grad():
        for token in scene.ids[:-1]:
            made = model.model.text_model(input_ids=torch.tensor([[token]]), past_key_values=past, use_cache=True)
            logits = model.lm_head(made.last_hidden_state)
            logits.argmax()
    past.crop(length - past.get_seq_length())  # negative: so many tokens fewer
    return logits


@lru_cache(maxsize=1)
def kept(folder: Path, scene: Scene) -> Any:
    """The cache behind the prompt; `decode` crops it back to its length."""
    return read(folder, scene)
