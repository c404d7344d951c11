"""Compares the runtime's greedy tokens with those of transformers, prompt by prompt.

usage: python -m tools.smolvlm.compare FOLDER [--count 50] [--tokens 16] [--variant fp16]
Prints one JSON object; exit code 1 where a token differs (float32 only: other precisions may, and say how often).
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import transformers

from edge_agent.types import Turn
from edge_agent.vlm import Bundle, Generator, VisionEncoder
from tools.smolvlm.cases import Answered, Case, cases, picture
from tools.smolvlm.golden import Reference, answered


class Runtime:
    """Our side: one bundle with and without splitting."""

    def __init__(self, folder: Path, variant: str) -> None:
        self._bundles = {on: Bundle.open(folder, variant=variant, splitting=on) for on in (False, True)}
        self._vision = {on: VisionEncoder(bundle) for on, bundle in self._bundles.items()}
        self._generator = Generator(self._bundles[False])

    def answer(self, case: Case, tokens: int) -> list[int]:
        """Greedy tokens of one case."""
        encoder = self._vision[case.splitting]
        seen = [one for n in case.pictures for one in encoder.look(picture(n)[:, :, ::-1])]
        history = [Turn(*pair) for pair in case.history]
        stream = self._generator.stream(seen, case.question, history=history, max_new_tokens=tokens)
        return [event.token_id for event in stream]


def compare(folder: Path, count: int, tokens: int, variant: str) -> dict[str, Any]:
    """How many of `count` prompts have the very same tokens, and the first that does not."""
    expected: list[Answered] = answered(Reference(folder), cases(count), tokens)
    runtime = Runtime(folder, variant)
    differing = []
    for one in expected:
        made = runtime.answer(one.case, tokens)
        if made != one.tokens:
            differing.append({"case": repr(one.case), "transformers": one.tokens, "runtime": made})
    return {
        "variant": variant or "fp32",
        "transformers": transformers.__version__,
        "prompts": count,
        "identical": count - len(differing),
        "with_pictures": sum(bool(one.case.pictures) for one in expected),
        "with_several_pictures": sum(len(one.case.pictures) > 1 for one in expected),
        "split": sum(one.case.splitting and bool(one.case.pictures) for one in expected),
        "distinct_answers": len({tuple(one.tokens) for one in expected}),
        "tokens": sum(len(one.tokens) for one in expected),
        "first_difference": differing[0] if differing else None,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--tokens", type=int, default=16)
    parser.add_argument("--variant", default="")
    given = parser.parse_args()
    result = compare(given.folder, given.count, given.tokens, given.variant)
    print(json.dumps(result))
    return 0 if given.variant or result["first_difference"] is None else 1


if __name__ == "__main__":
    sys.exit(main())
