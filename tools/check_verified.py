"""Shows on real questions that a checked draft changes no token of the cloud's answer, and what it saves.

    python -m tools.check_verified --data coco/dev.jsonl --data daquar/dev.jsonl --limit 1000 --json
    python -m tools.check_verified --data coco/dev.jsonl --describe 100           also "describe the picture."
    python -m tools.check_verified --easy-vqa 300                                 needs `pip install easy-vqa==1.0`

The edge's model looks at each picture and answers; the cloud's answers from the same embeddings plainly, then with the
edge's answer as a draft. A set is lines of {"image","question"}, image relative to the file. Exit code 1 where an
answer differs by more than a near tie: two tokens whose logits in the plain run lie within TIE_NAT.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from edge_agent.sources.photo import load_photo
from edge_agent.transport.drafts import Judge, Verdict
from edge_agent.types import Embeddings
from edge_agent.vlm import Bundle, Generator, find_bundle, open_vision

TIE_NAT = 1e-3
DESCRIBE = ("describe the picture.", "what is in the picture?", "list everything that you see.")


@dataclass(frozen=True, slots=True)
class Asked:
    """One question about one photo; `kind` is the set it is of."""

    image: Path
    question: str
    kind: str


def main(arguments: Sequence[str] | None = None) -> int:
    """0: every answer is the cloud's own; 1: one is not."""
    given = _parser().parse_args(arguments)
    edge, cloud = Bundle.open(find_bundle(given.edge)), Bundle.open(find_bundle(given.cloud))
    if edge.tokenizer_id != cloud.tokenizer_id:
        raise SystemExit(f"{edge.name} and {cloud.name} have different tokenizers: nothing can be checked")
    result = Check(edge, cloud, given.max_new_tokens).run(_questions(given))
    if given.json:
        print(json.dumps(result))
    else:
        _say(result)
    return 1 if result["differing"] else 0


class Check:
    """Runs both ways of answering and counts."""

    def __init__(self, edge: Bundle, cloud: Bundle, most: int) -> None:
        self._vision = open_vision(edge, 1, "onnx")
        self._edge, self._cloud = Generator(edge), Generator(cloud)
        self._tiles = cloud.layout.detail is not None and cloud.layout.detail == edge.layout.detail
        self._most = most
        self._views = lru_cache(maxsize=4)(self._look)
        self._counts: Counter[str] = Counter()
        self._kinds: dict[str, Counter[str]] = {}
        self._reasons: Counter[str] = Counter()
        self._ties: list[dict[str, Any]] = []
        self._differing: list[dict[str, Any]] = []

    def run(self, questions: Sequence[Asked]) -> dict[str, Any]:
        """The figures over all questions."""
        for at, one in enumerate(questions):
            self._ask(one)
            if at % 100 == 99:
                print(f"{at + 1}/{len(questions)}", file=sys.stderr)
        kinds = {kind: _figures(counts) for kind, counts in sorted(self._kinds.items())}
        found = {"ties": self._ties, "differing": self._differing}
        return _figures(self._counts) | found | {"verdicts": dict(self._reasons), "kinds": kinds}

    def _look(self, image: Path) -> tuple[tuple[Embeddings, ...], tuple[Embeddings, ...]]:
        """What the edge reads of a photo, and what the cloud reads."""
        pixels = load_photo(image).pixels
        whole = self._vision.look(pixels)
        return whole, (*whole, *(self._vision.encode_tiles(pixels) if self._tiles else ()))

    def _ask(self, one: Asked) -> None:
        seen, sent = self._views(one.image)
        draft = [event.token_id for event in self._edge.stream(seen, one.question, max_new_tokens=self._most)]
        plain = [event.token_id for event in self._cloud.stream(sent, one.question, max_new_tokens=self._most)]
        self._cloud.forget()
        checked = self._cloud.stream(sent, one.question, max_new_tokens=self._most, draft=draft)
        verified = [event.token_id for event in checked]
        verdict = judge(draft, verified)
        self._reasons[verdict.reason] += 1
        saved = min(verdict.accepted, max(0, len(verified) - 1))  # the pass over the prompt gives one token by itself
        for counts in (self._counts, self._kinds.setdefault(one.kind, Counter())):
            counts.update(prompts=1, equal=plain == verified, drafted=len(draft), accepted=verdict.accepted)
            counts.update(tokens=len(plain), steps=max(0, len(plain) - 1), saved=saved)
        if plain != verified:
            self._differ(one, sent, plain, verified)

    def _differ(self, one: Asked, sent: Sequence[Embeddings], plain: list[int], verified: list[int]) -> None:
        at = next((i for i, (a, b) in enumerate(zip(plain, verified, strict=False)) if a != b), len(plain))
        gap = self._gap(one, sent, plain[:at])
        found = {"image": one.image.name, "question": one.question, "token": at, "gap_nat": gap}
        (self._ties if gap <= TIE_NAT else self._differing).append(found)

    def _gap(self, one: Asked, sent: Sequence[Embeddings], before: list[int]) -> float:
        """By how much the likeliest token leads after `before`, in the plain run."""
        prompt = self._cloud.prompt(sent, one.question, (), self._most)
        logits, cache = self._cloud.read(prompt)
        for position, token in enumerate(before, prompt.next_position):
            logits, cache = self._cloud.decoder.next(token, position, cache)
        second, first = np.sort(logits)[-2:]
        return float(first - second)


def judge(draft: Sequence[int], answer: Sequence[int]) -> Verdict:
    """What the cloud would say of a draft."""
    court = Judge(draft)
    for token in answer:
        verdict = court.take(token)
        if verdict is not None:
            return verdict
    return court.end()


def _figures(counts: Counter[str]) -> dict[str, Any]:
    named = {name: counts[name] for name in ("prompts", "equal", "drafted", "accepted", "tokens", "steps", "saved")}
    share = counts["accepted"] / counts["drafted"] if counts["drafted"] else None
    return named | {
        "accepted_share": share,
        "saved_share": counts["saved"] / counts["steps"] if counts["steps"] else None,
    }


def _say(result: dict[str, Any]) -> None:
    print(f"{result['equal']} of {result['prompts']} answers are the cloud's own, token for token")
    print(f"  near ties (within {TIE_NAT} nat): {len(result['ties'])}; others: {len(result['differing'])}")
    print(f"  {result['accepted']} of {result['drafted']} drafted tokens stood ({result['accepted_share'] or 0:.3f})")
    print(f"  {result['saved']} of {result['steps']} steps of the cloud saved ({result['saved_share'] or 0:.3f})")
    for kind, part in result["kinds"].items():
        share, saved = part["accepted_share"] or 0, part["saved_share"] or 0
        print(f"  {kind:<24} {part['prompts']:>5} prompts, {share:.3f} accepted, {saved:.3f} of the steps saved")


def _questions(given: argparse.Namespace) -> list[Asked]:
    """`--limit` of all sets together, drawn by the seed, in order of the photos; then the descriptions."""
    asked = [one for path in given.data for one in _rows(path)]
    if given.easy_vqa:
        asked += list(_easy(given.easy_vqa))
    draw = random.Random(given.seed)
    photos = sorted({one.image for one in asked})
    if given.limit is not None and given.limit < len(asked):
        asked = draw.sample(asked, given.limit)
    for image in draw.sample(photos, min(given.describe, len(photos))):
        asked += [Asked(image, question, "describe") for question in DESCRIBE]
    return sorted(asked, key=lambda one: one.image)


def _rows(path: Path) -> Iterator[Asked]:
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        yield Asked(path.parent / row["image"], row["question"], path.parent.name)


def _easy(count: int) -> Iterator[Asked]:
    import easy_vqa

    paths = easy_vqa.get_test_image_paths()
    rows = list(zip(*easy_vqa.get_test_questions(), strict=True))[:count]
    for question, _, image in rows:
        yield Asked(Path(paths[image]), question, "easy-vqa")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, action="append", default=[], help="lines of JSON; may be given again")
    parser.add_argument("--easy-vqa", type=int, default=0, metavar="N", help="so many test questions of easy-VQA")
    parser.add_argument("--describe", type=int, default=0, metavar="N", help="describe so many of the photos, too")
    parser.add_argument("--limit", type=int, help="only this many questions, drawn by the seed")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--edge", default="edge-vqa", help="bundle that drafts")
    parser.add_argument("--cloud", default="cloud-vqa", help="bundle that checks")
    parser.add_argument("--max-new-tokens", type=int, default=16)
    parser.add_argument("--json", action="store_true")
    return parser


if __name__ == "__main__":
    sys.exit(main())
