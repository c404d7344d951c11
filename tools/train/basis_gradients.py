"""How much the cloud's answers feel each direction of the embeddings: gradients of the log probability of first tokens.

Their second moments are Fisher's information, if the tokens are drawn from the decoder's own distribution.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer

from tools.train.eyes import prefix_positions
from tools.train.settings import TEXT_POSITION, Paths
from tools.train.text import ASK, REPLY
from tools.train.trained import load_trained

GENERAL = (
    "what is this?",
    "what is in the picture?",
    "is there a person in the picture?",
    "how many people are in the picture?",
    "what is the largest thing in the picture?",
    "what is on the left?",
)
MOST_OWN = 4  # questions of a photo's own


def questions_of(data: Path) -> dict[str, list[str]]:
    """By photo."""
    found: dict[str, list[str]] = {}
    for source in ("coco", "daquar"):
        with (data / source / "train.jsonl").open("r", encoding="utf-8") as lines:
            for row in map(json.loads, lines):
                found.setdefault(str(data / source / row["image"]), []).append(row["question"])
    return found


def chosen(own: list[str], rng: np.random.Generator) -> list[str]:
    own = list(rng.permutation(own))[:MOST_OWN] if own else []
    return own + list(rng.choice(GENERAL, 1 if own else 3, replace=False))


def answer_gradients(paths: Paths, folder: Path, photos: int) -> NDArray[np.float32]:
    """[questions * views, tokens, hidden] float32, of `photos` of the encoded ones."""
    torch.set_num_threads(1)
    decoder = load_trained(paths.work / "cloud.pt").decoder
    tokenizer = Tokenizer.from_file(str(paths.tokenizer))
    names = json.loads((folder / "photos.json").read_text("utf-8"))
    embeddings = np.load(folder / "embeddings.npy", mmap_mode="r")
    rng, questions, made = np.random.default_rng(0), questions_of(paths.data), []
    torch.manual_seed(0)
    for index in rng.permutation(len(names))[:photos]:
        views = np.array(embeddings[index], np.float32)  # [views, tokens, hidden]
        asked = chosen(questions.get(names[index], []), rng)
        made += [gradient.reshape(views.shape) for gradient in _of_photo(decoder, tokenizer, views, asked)]
    return np.concatenate(made)


def _of_photo(decoder: Any, tokenizer: Tokenizer, views: NDArray[np.float32], questions: list[str]) -> list[Any]:
    length = views.shape[0] * views.shape[1]
    x = torch.from_numpy(views.reshape(1, length, -1)).requires_grad_()
    where = prefix_positions(views.shape[0], 0)[None]
    _, keys = decoder.run(x, where, torch.ones(length, length, dtype=torch.bool).tril()[None, None])
    made = []
    for at, question in enumerate(questions):
        ids = [ASK, *tokenizer.encode(question, add_special_tokens=False).ids, REPLY]
        n = len(ids)
        sees = torch.cat((torch.ones(n, length, dtype=torch.bool), torch.ones(n, n, dtype=torch.bool).tril()), 1)
        positions = torch.arange(TEXT_POSITION, TEXT_POSITION + n)[None]
        hidden, _ = decoder.run(decoder.embed(torch.tensor([ids])), positions, sees[None, None], keys)
        logs = torch.log_softmax(decoder.logits(hidden[0, -1]), -1)
        drawn = int(torch.multinomial(logs.detach().exp(), 1))
        (gradient,) = torch.autograd.grad(logs[drawn], x, retain_graph=at + 1 < len(questions))
        made.append(gradient[0].numpy().astype(np.float32))
    return made
