"""Choosing tokens and showing them: sampling, stop strings, whole characters, kept prefixes, questions side by side."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from edge_agent.errors import UsageError
from edge_agent.types import Embeddings, TokenEvent, Turn
from edge_agent.vlm import Bundle, Generator, VisionEncoder, find_bundle
from edge_agent.vlm.choice import Choice, Picker
from edge_agent.vlm.decoder import Decoder
from edge_agent.vlm.selftest import QUESTION, picture
from edge_agent.vlm.words import WholeText, Words

QUESTIONS = (
    QUESTION,
    "is there a dog in the picture?",
    "what is in the picture?",
    "how many people are there?",
    "why?",
)


def drawn(choice: Choice, logits: Sequence[float], count: int) -> list[int]:
    picker = Picker(choice)
    return [picker.pick(np.array(logits, np.float32)) for _ in range(count)]


def test_without_temperature_the_likeliest_is_taken_and_no_seed_matters() -> None:
    assert set(drawn(Choice(seed=3), [0.1, 0.3, 0.2], 20)) == {1}


def test_a_seed_draws_the_same_again_and_another_one_differently() -> None:
    logits = [0.0] * 50
    assert drawn(Choice(1.0, seed=1), logits, 20) == drawn(Choice(1.0, seed=1), logits, 20)
    assert drawn(Choice(1.0, seed=1), logits, 20) != drawn(Choice(1.0, seed=2), logits, 20)


def test_draws_follow_the_odds_at_the_temperature() -> None:
    logits = np.log([0.6, 0.3, 0.1])
    shares = np.bincount(drawn(Choice(1.0, seed=5), logits, 6000), minlength=3) / 6000
    np.testing.assert_allclose(shares, [0.6, 0.3, 0.1], atol=0.03)
    hot = np.bincount(drawn(Choice(5.0, seed=5), logits, 6000), minlength=3) / 6000
    assert hot[0] < 0.45 < 0.5 < shares[0]


@pytest.mark.parametrize(
    ("top_p", "kept"), [(0.5, {0}), (0.6, {0, 1}), (0.89, {0, 1}), (0.95, {0, 1, 2}), (1.0, {0, 1, 2})]
)
def test_the_nucleus_holds_the_fewest_tokens_of_that_share(top_p: float, kept: set[int]) -> None:
    logits = np.log([0.58, 0.32, 0.1])
    assert set(drawn(Choice(1.0, top_p), logits, 2000)) == kept


def test_what_is_forbidden_is_never_drawn() -> None:
    assert set(drawn(Choice(5.0), [-np.inf, 0.0, -np.inf, 1.0], 500)) == {1, 3}


@pytest.mark.parametrize(
    "values", [{"temperature": -1}, {"temperature": 9}, {"top_p": 0}, {"top_p": 1.1}, {"seed": -1}]
)
def test_choices_out_of_range_are_refused(values: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        Choice(**values)  # type: ignore[arg-type]


def letters(ids: list[int]) -> str:
    return "".join(map(chr, ids))


def told(text: str, *stops: str) -> tuple[list[str], bool]:
    words = Words(WholeText(letters), stops)
    parts = []
    for sign in text:
        parts.append(words.add(ord(sign)))
        if words.stopped:
            break
    return [*parts, words.end()], words.stopped


def test_text_is_given_out_as_it_comes() -> None:
    assert told("a cat") == (["a", " ", "c", "a", "t", ""], False)


def test_a_stop_string_ends_the_text_before_itself_and_is_never_shown() -> None:
    parts, stopped = told("yes.\nQ: more", "\nQ:", "never")
    assert ("".join(parts), stopped) == ("yes.", True)


def test_what_only_began_like_a_stop_string_is_shown_after_all() -> None:
    parts, stopped = told("a\nQ and", "\nQ:")
    assert ("".join(parts), stopped) == ("a\nQ and", False)
    parts, stopped = told("a\nQ", "\nQ:")
    assert (parts, stopped) == (["a", "", "", "\nQ"], False)


def test_the_first_of_several_stop_strings_counts() -> None:
    assert "".join(told("one two three", "three", "two")[0]) == "one "


def test_half_a_character_is_held_back_until_it_is_whole() -> None:
    def decode(ids: list[int]) -> str:
        return bytes(ids).decode("utf-8", "replace")

    words = Words(WholeText(decode))
    parts = [words.add(byte) for byte in "né!".encode()]
    assert parts == ["n", "", "é", "!"]


@pytest.mark.parametrize("stops", [[""], ["x"] * 17, ["y" * 201]])
def test_stop_strings_out_of_bounds_are_refused(stops: list[str]) -> None:
    with pytest.raises(UsageError, match="stop strings"):
        Words(WholeText(letters), stops)


@pytest.fixture(scope="module")
def edge() -> Bundle:
    return Bundle.open(find_bundle("edge-vqa"))


@pytest.fixture(scope="module")
def seen(edge: Bundle) -> list[Embeddings]:
    return [VisionEncoder(edge).encode(picture())]


class Counting(Decoder):
    """A decoder that counts the rows it reads."""

    def read(self, embeds, positions, mask, cache):  # type: ignore[no-untyped-def]
        self.rows = getattr(self, "rows", 0) + embeds.shape[0] * embeds.shape[1]
        return super().read(embeds, positions, mask, cache)

    def next(self, token, position, cache):  # type: ignore[no-untyped-def]
        self.rows = getattr(self, "rows", 0) + 1
        return super().next(token, position, cache)


@pytest.fixture
def counting(edge: Bundle) -> tuple[Generator, Counting]:
    generator, decoder = Generator(edge), Counting(edge)
    generator.decoder = decoder
    return generator, decoder


def test_the_next_question_about_a_picture_does_not_read_it_again(
    edge: Bundle, seen: list[Embeddings], counting: tuple[Generator, Counting]
) -> None:
    generator, decoder = counting
    first = list(generator.stream(seen, QUESTION))
    read, decoder.rows = decoder.rows, 0
    copied = [Embeddings(one.data.copy(), one.encoder_id) for one in seen]
    assert list(generator.stream(copied, QUESTION)) == first, "the same numbers, kept or not"
    assert decoder.rows == read - edge.tokens_per_image


def test_a_conversation_reads_only_its_new_turns(seen: list[Embeddings], counting: tuple[Generator, Counting]) -> None:
    generator, decoder = counting
    turns = (Turn("is there a dog?", "no"), Turn("what color is it?", "red"), Turn("how many are there?", "1"))
    list(generator.stream(seen, QUESTION, history=turns[:2]))
    decoder.rows = 0
    events = list(generator.stream(seen, QUESTION, history=turns))
    kept = decoder.rows
    generator.forget()
    decoder.rows = 0
    assert list(generator.stream(seen, QUESTION, history=turns)) == events
    assert kept < decoder.rows / 3


def test_another_picture_is_read_even_if_the_question_is_the_same(
    edge: Bundle, counting: tuple[Generator, Counting]
) -> None:
    generator, decoder = counting
    vision = VisionEncoder(edge)
    answers = []
    for colour in ((20, 20, 230), (230, 60, 20)):
        drawn_picture = np.full((64, 64, 3), 250, np.uint8)
        drawn_picture[20:44, 20:44] = colour
        decoder.rows = 0
        answers.append([e.text for e in generator.stream([vision.encode(drawn_picture)], QUESTION)])
        assert decoder.rows > edge.tokens_per_image
    assert answers[0] != answers[1]


def texts(events: list[TokenEvent]) -> list[tuple[int, str]]:
    return [(event.token_id, event.text) for event in events]


@pytest.mark.parametrize("with_picture", [True, False])
def test_questions_side_by_side_are_answered_as_one_by_one(
    edge: Bundle, seen: list[Embeddings], with_picture: bool
) -> None:
    generator, about = Generator(edge), seen if with_picture else []
    together = generator.batch(about, QUESTIONS)
    alone = [list(generator.stream(about, question)) for question in QUESTIONS]
    assert [texts(events) for events in together] == [texts(events) for events in alone]
    for a, b in zip(together, alone, strict=True):
        np.testing.assert_allclose([e.probability for e in a], [e.probability for e in b], atol=2e-3)


def test_a_batch_of_nothing_or_cancelled_at_once_says_nothing(edge: Bundle, seen: list[Embeddings]) -> None:
    assert Generator(edge).batch(seen, ()) == []
    assert Generator(edge).batch(seen, ("why?", "what?"), cancelled=lambda: True) == [[], []]


def test_a_stop_string_ends_a_real_answer(edge: Bundle, seen: list[Embeddings]) -> None:
    generator = Generator(edge)
    whole = "".join(e.text for e in generator.stream(seen, QUESTION))
    cut = "".join(e.text for e in generator.stream(seen, QUESTION, stop=[whole[2:]]))
    assert cut == whole[:2]


def test_sampling_with_a_seed_is_repeatable(edge: Bundle, seen: list[Embeddings]) -> None:
    generator = Generator(edge)
    first = list(generator.stream(seen, QUESTION, choice=Choice(2.0, seed=1)))
    assert list(generator.stream(seen, QUESTION, choice=Choice(2.0, seed=1))) == first
    others = {texts(list(generator.stream(seen, QUESTION, choice=Choice(2.0, seed=s))))[0] for s in range(12)}
    assert len(others) > 1
