"""Questions, conversations and pictures on which the runtime is compared with transformers, drawn from a seed."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

QUESTIONS = (
    "what is in the picture?",
    "How many people are there?",
    "is there a cat, or a dog?",
    "Describe the image.\n\nBe short!",
    "what colour is the shape — red or grün? 蛙",
    "where is the bicycle?  (left/right)",
    "  spaces around  ",
    "what do both pictures show?",
)
SIDES = ((24, 24), (64, 48), (37, 120), (128, 128), (200, 90), (7, 300), (500, 333), (1, 1))


@dataclass(frozen=True, slots=True)
class Case:
    """One prompt: earlier (question, answer) pairs, the question, picture numbers, and whether pictures are split."""

    question: str
    pictures: tuple[int, ...] = ()
    splitting: bool = False
    history: tuple[tuple[str, str], ...] = ()


@dataclass(slots=True)
class Answered:
    """A case with the tokens that transformers made of it."""

    case: Case
    tokens: list[int] = field(default_factory=list)


def picture(number: int) -> NDArray[np.uint8]:
    """[H, W, 3] uint8 RGB: blocks and a slope, of one of SIDES."""
    draw = np.random.default_rng(number)
    height, width = SIDES[number % len(SIDES)]
    made = np.linspace(0, 200, height)[:, None, None] + np.linspace(0, 50, width)[None, :, None] + np.zeros(3)
    for _ in range(6):
        top, left = draw.integers(0, height), draw.integers(0, width)
        made[top : top + height // 3 + 1, left : left + width // 3 + 1] = draw.integers(0, 256, 3)
    return made.astype(np.uint8)


def cases(count: int, seed: int = 0) -> list[Case]:
    """`count` different prompts: none to three pictures, split or not, with and without earlier turns."""
    draw = random.Random(seed)
    made = []
    for index in range(count):
        pictures = tuple(draw.randrange(len(SIDES) * 3) for _ in range((1, 1, 2, 0, 3)[index % 5]))
        history = (("is there a dog?", "no"), ("and a cup?", "Yes, a red one."))[: draw.choice((0, 0, 1, 2))]
        made.append(Case(draw.choice(QUESTIONS), pictures, index % 2 == 0, history))
    return made


def save_pictures(folder: Path, numbers: set[int]) -> None:
    """Each picture as N.png."""
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    for number in sorted(numbers):
        Image.fromarray(picture(number)).save(folder / f"{number}.png", optimize=True)
