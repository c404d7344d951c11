"""What was read of a picture is read on from by its owner's next question about it, and by nobody else's."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from edge_agent.types import Embeddings
from edge_agent.vlm import Bundle, Generator, find_bundle
from edge_agent.vlm.prefix import Prefixes

QUESTIONS = ("what is in the picture?", "is there a dog in the picture?")


class Counted:
    """A generator that counts the rows which its decoder reads in prompts."""

    def __init__(self, kept: int) -> None:
        self.bundle = Bundle.open(find_bundle("edge-vqa"), verify=False)
        self.generator = Generator(self.bundle, kept=kept)
        self.rows = 0
        step = self.generator.decoder.step

        def counting(rows: np.ndarray, positions: Sequence[int], cache: object) -> object:
            self.rows += len(rows)
            return step(rows, positions, cache)

        self.generator.decoder.step = counting

    def picture(self, seed: int) -> Embeddings:
        size = (self.bundle.tokens_per_image, self.bundle.hidden_size)
        rows = np.random.default_rng(seed).normal(0, 0.5, size).astype(np.float32)
        return Embeddings(rows, self.bundle.encoder_id)

    def ask(self, seed: int, owner: str, question: int = 0) -> tuple[int, list[int]]:
        """(rows that were read, ids of the first tokens)."""
        self.rows = 0
        made = self.generator.begin((self.picture(seed),), QUESTIONS[question], max_new_tokens=4, owner=owner)
        return self.rows, [event.token_id for event in made.answer.events]


def test_pictures_that_are_asked_about_in_turn_are_each_read_once() -> None:
    asked = Counted(kept=3)
    whole = [asked.ask(seed, "a")[0] for seed in range(3)]
    again = [asked.ask(seed, "a", 1) for seed in range(3)]
    alone = [Counted(kept=1).ask(seed, "a", 1) for seed in range(3)]
    assert all(rows < one - asked.bundle.tokens_per_image + 5 for (rows, _), one in zip(again, whole, strict=True))
    assert [ids for _, ids in again] == [ids for _, ids in alone]


def test_nobody_reads_on_from_what_another_asked() -> None:
    asked = Counted(kept=3)
    first, others = asked.ask(0, "a"), asked.ask(0, "b")
    assert others == first
    assert asked.ask(0, "b")[0] < first[0]


def test_the_picture_asked_about_longest_ago_is_forgotten() -> None:
    asked = Counted(kept=2)
    whole = [asked.ask(seed, "a")[0] for seed in (0, 1)]
    assert asked.ask(0, "a")[0] < whole[0]
    asked.ask(2, "a")
    assert asked.ask(1, "a")[0] == whole[1]
    assert len(asked.generator._prefixes) == 2


def test_a_question_without_a_picture_takes_nobodys_place() -> None:
    asked = Counted(kept=1)
    whole = asked.ask(0, "a")[0]
    asked.generator.begin((), "what is a dog?", max_new_tokens=4, owner="a")
    assert asked.ask(0, "a")[0] < whole


def test_what_is_forgotten_is_read_again() -> None:
    asked = Counted(kept=2)
    whole = asked.ask(0, "a")[0]
    asked.generator.forget()
    assert asked.ask(0, "a")[0] == whole


def test_fewer_than_one_cannot_be_kept() -> None:
    with pytest.raises(ValueError, match="at least one"):
        Prefixes(0)
