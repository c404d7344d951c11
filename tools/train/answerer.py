"""Answers questions of a set in torch, picture by picture: what evaluation and calibration are made with.

Features of the pictures are kept in the work folder; keys and values of a picture serve all questions about it. Greedy,
like the runtime, which `export` proves to give the same words from the same rounded weights.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer

from tools.train.eyes import prefix_positions
from tools.train.features import as_bytes, as_floats, encode, open_session, read_photo, tiles_of
from tools.train.model import Cache as Keys
from tools.train.settings import BACKBONE_WIDTH, CELLS, TEXT_POSITION, VIEWS, Paths
from tools.train.text import ASK, EOS, REPLY
from tools.train.trained import Trained
from tools.train.views import read_jsonl

MOST_TOKENS = 12


@dataclass(frozen=True, slots=True)
class Item:
    """One question about one picture."""

    image: str
    question: str
    answer: str
    kind: str


def set_file(name: str, paths: Paths) -> Path:
    """Where the rows of a set lie; those made by `evalsets` under the work folder."""
    return paths.data / name / "dev.jsonl" if name in ("coco", "daquar") else paths.work / "eval" / name / "data.jsonl"


def load_items(name: str, paths: Paths, limit: int) -> list[Item]:
    path = set_file(name, paths)
    rows = read_jsonl(path)
    if len(rows) > limit:
        rows = random.Random(0).sample(rows, limit)
    return [Item(str(path.parent / r["image"]), r["question"], r["answer"], r.get("kind", name)) for r in rows]


def picture_features(name: str, images: list[str], paths: Paths) -> dict[str, NDArray[np.uint8]]:
    """[5, 49, 1280] uint8 of each picture, whole and tiles; kept in the work folder."""
    folder = paths.work / "probe" / name
    folder.mkdir(parents=True, exist_ok=True)
    session, found = None, {}
    for image in images:
        kept = folder / (Path(image).name + ".npy")
        if not kept.exists():
            session = session or open_session(paths.encoder)
            picture = read_photo(image)
            np.save(kept, as_bytes(np.stack([encode(session, one) for one in (picture, *tiles_of(picture))])))
        found[image] = np.load(kept)
        assert found[image].shape == (VIEWS, CELLS, BACKBONE_WIDTH)
    return found


@dataclass(slots=True)
class Answerer:
    """Greedy answers with the picture's keys and values kept."""

    trained: Trained
    tokenizer: Tokenizer
    views: int

    def look(self, features: NDArray[np.uint8] | None, sound: NDArray[np.float32] | None = None) -> Keys:
        """Keys and values of a picture of [5, 49, 1280] uint8 and of a sound of [A, hidden], or of one of them."""
        decoder, parts = self.trained.decoder, []
        views = self.views if features is not None else 0
        with torch.no_grad():
            if features is not None:
                stored = torch.from_numpy(as_floats(features[:views]))[None]
                parts.append(self.trained.eyes(stored, decoder.words_weight()))
            if sound is not None:
                parts.append(torch.from_numpy(sound)[None])
            prefix = torch.cat(parts, dim=1)  # [1, p, hidden]
            where = prefix_positions(views, len(sound) if sound is not None else 0)[None]
            mask = torch.ones(prefix.shape[1], prefix.shape[1], dtype=torch.bool).tril()[None, None]
            keys: Keys = decoder.run(prefix, where, mask)[1]
            return keys

    def look_away(self) -> Keys:
        """Keys and values of nothing: the question alone is answered."""
        config = self.trained.config
        nothing = torch.zeros(1, config.heads, 0, config.head_dim)
        return [(nothing, nothing)] * config.layers

    def answer(self, keys: Keys, question: str) -> tuple[str, float, float]:
        """Answer, its least token probability and largest token entropy (nats)."""
        decoder = self.trained.decoder
        ids = [ASK, *self.tokenizer.encode(question, add_special_tokens=False).ids, REPLY]
        made: list[int] = []
        least, most, at = 1.0, 0.0, TEXT_POSITION
        past = keys
        with torch.no_grad():
            while len(made) < MOST_TOKENS:
                x = decoder.embed(torch.tensor([ids]))
                positions = torch.arange(at, at + len(ids))[None]
                before = past[0][0].shape[2]
                mask = torch.cat(
                    (
                        torch.ones(len(ids), before, dtype=torch.bool),
                        torch.ones(len(ids), len(ids), dtype=torch.bool).tril(),
                    ),
                    dim=1,
                )[None, None]
                hidden, past = decoder.run(x, positions, mask, past)
                odds = torch.softmax(decoder.logits(hidden[0, -1]), dim=-1)
                token, at = int(odds.argmax()), at + len(ids)
                least, most = min(least, float(odds[token])), max(most, float(-(odds * (odds + 1e-9).log()).sum()))
                if token == EOS:
                    break
                made.append(token)
                ids = [token]
        return str(self.tokenizer.decode(made)).strip(), least, most
