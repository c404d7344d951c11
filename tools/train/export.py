"""Writes the bundle pair from the checkpoints: `python -m tools.train.export --out models`.

Proves before it ends that the shipped runtime, on the shipped int8 graphs, gives word for word what torch gives on
the same rounded weights, on 50 pictures that were not trained on; the cloud's with their tiles, and where it reckons on
24 mosaics too, as photos are seldom reckoned with.
"""

from __future__ import annotations

import argparse
import json
import random
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer

from edge_agent.vlm.bundle import Bundle
from edge_agent.vlm.confidence import summarise
from edge_agent.vlm.generate import Generator, looping
from edge_agent.vlm.selftest import QUESTION, picture, probe
from edge_agent.vlm.vision import VisionEncoder
from tools.train.arranged import comparisons, counts, relations
from tools.train.bundle_files import kept_encoders, write_bundle, write_encoders, write_json
from tools.train.crops import View
from tools.train.evalsets import unseen
from tools.train.eyes import Eyes, prefix_positions
from tools.train.features import draw, encode, open_session, tiles_of
from tools.train.model import Decoder, Ensemble
from tools.train.mosaics import GridComposer
from tools.train.pack import attention_mask
from tools.train.questions import Asker
from tools.train.reckoned import Reckoned
from tools.train.settings import TEXT_POSITION, Paths, default_paths
from tools.train.text import ASK, EOS, REPLY
from tools.train.trained import Trained, load_pair, rounded_pair
from tools.train.views import photos

Case = tuple[View, str]
"""A picture and a question about it."""


def torch_answer(
    eyes: Eyes, decoder: Decoder | Ensemble | Reckoned, tokenizer: Tokenizer, features: torch.Tensor, question: str
) -> str:
    """Greedy answer without any cache, by the training code: the other side of the equality check.

    `features` [v, 49, 1280]; one view or, with its tiles, five.
    """
    ids = [ASK, *tokenizer.encode(question, add_special_tokens=False).ids, REPLY]
    made: list[int] = []
    with torch.no_grad():
        image = eyes(features[None], decoder.words_weight())  # [1, p, hidden]
        where = prefix_positions(len(features), 0)
        seen = torch.ones(1, image.shape[1], dtype=torch.bool)
        while len(made) < 16:
            row = torch.tensor([ids + made])
            x = torch.cat((image, decoder.embed(row)), dim=1)
            positions = torch.cat((where, TEXT_POSITION + torch.arange(row.shape[1])))[None]
            hidden, _ = decoder.run(x, positions, attention_mask(torch.ones_like(row), seen))
            token = int(decoder.logits(hidden[0, -1]).argmax())
            if token == EOS:
                break
            made.append(token)
            if looping(made):
                return str(tokenizer.decode(made[:-1])).strip()
    return str(tokenizer.decode(made)).strip()


def photo_cases(paths: Paths, count: int) -> list[Case]:
    """A question each about photos that were not trained on."""
    asker = Asker(random.Random(5), ["tabby"])
    views = [v for v in photos(paths) if v["split"] != "train"]
    made = []
    for view in views[:: max(1, len(views) // count)][:count]:
        asked = asker.ask(view, [])
        made.append((view, asked[0].text if asked else "what is this?"))
    return made


def mosaic_cases(paths: Paths, count: int) -> list[Case]:
    """Counts, comparisons and relations in turn, about mosaics of photos that were not trained on."""
    rng, made = random.Random(13), list[Case]()
    composer = GridComposer(unseen(paths), rng, split="test")
    while len(made) < count:
        view = composer.grid()
        asked = (counts, comparisons, relations)[len(made) % 3](view, rng)
        made += [(view, asked[0][0])] if asked else []
    return made


def prove_equal(edge: Path, bundle: Path, trained: Trained, cases: list[Case], paths: Paths) -> dict[str, int]:
    """Compares runtime and torch on `cases`; the cloud's pictures with their tiles.

    Raises SystemExit if one differs.
    """
    opened, seen = Bundle.open(bundle), VisionEncoder(Bundle.open(edge))
    generator, tokenizer = Generator(opened), Tokenizer.from_file(str(bundle / "tokenizer.json"))
    session, small = open_session(paths.encoder), rounded_pair(trained)
    same = same_unrounded = 0
    for view, question in cases:
        picture = draw(view)
        pictures = [picture] if bundle == edge else [picture, *tiles_of(picture)]
        exact = torch.from_numpy(np.stack([encode(session, one) for one in pictures]))
        embeddings = [seen.encode(one) for one in pictures]
        answer = summarise(list(generator.stream(embeddings, question)), opened.calibration).text
        same += answer == torch_answer(small.eyes, small.decoder, tokenizer, exact, question)
        same_unrounded += answer == torch_answer(trained.eyes, trained.decoder, tokenizer, exact, question)
    if same < len(cases):
        raise SystemExit(f"{bundle}: only {same} of {len(cases)} answers equal torch's on the same weights")
    return {"compared": len(cases), "equal": same, "equal_to_unrounded": same_unrounded}


def write_golden(folder: Path) -> None:
    """Adds to the manifest what this machine computes for the picture of the self-test."""
    bundle = Bundle.open(folder)
    embeddings = VisionEncoder(bundle).encode(picture())
    answer = summarise(list(Generator(bundle).stream([embeddings], QUESTION)), bundle.calibration).text
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    write_json(
        folder / "manifest.json", {**manifest, "golden": {"embedding": probe(embeddings.data), "answer": answer}}
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("models"))
    parser.add_argument("--alone", action="store_true", help="ship the cloud's newer decoder without another beside it")
    parser.add_argument("--cloud-only", action="store_true", help="the edge's graphs stay, byte for byte")
    parser.add_argument("--draft", action="store_true", help="files only: no proof, no answer of the self-test")
    wanted = parser.parse_args()
    torch.set_num_threads(1)
    paths = default_paths()
    edge, cloud = load_pair(paths, wanted.alone)
    made = {"cloud-vqa": cloud} if wanted.cloud_only else {"edge-vqa": edge, "cloud-vqa": cloud}
    if wanted.cloud_only:
        encoders = kept_encoders(wanted.out / "edge-vqa")
    else:
        encoders = write_encoders(wanted.out / "edge-vqa", edge, paths)
    for name, trained in made.items():
        write_bundle(wanted.out / name, name, trained, paths, encoders)
    if wanted.draft:
        return
    if not wanted.cloud_only:
        write_golden(wanted.out / "edge-vqa")
    for name, trained in made.items():
        bundles = (wanted.out / "edge-vqa", wanted.out / name)
        proof = prove_equal(*bundles, trained, photo_cases(paths, 50), paths)
        write_json(paths.work / f"{name}-equality.json", proof)
        print(name, encoders.image, proof)
        if isinstance(trained.decoder, Reckoned):
            print(name, "mosaics", prove_equal(*bundles, trained, mosaic_cases(paths, 24), paths))


if __name__ == "__main__":
    main()
