"""The decode loop: greedy, with a cache that changes nothing, cancellable, and clear about what it cannot take."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import chain, repeat

import numpy as np
import pytest

from edge_agent.errors import ModelError, UsageError
from edge_agent.types import Embeddings, Turn
from edge_agent.vlm import Bundle, Generator, VisionEncoder, find_bundle, summarise
from edge_agent.vlm.decoder import Decoder
from edge_agent.vlm.selftest import QUESTION, picture

ASKED = ("what is in the picture?", QUESTION, "is there a dog in the picture?", "how many people are there?")


@pytest.fixture(scope="module")
def edge() -> Bundle:
    return Bundle.open(find_bundle("edge-vqa"))


@pytest.fixture(scope="module")
def vision(edge: Bundle) -> VisionEncoder:
    return VisionEncoder(edge)


@pytest.fixture(scope="module")
def generator(edge: Bundle) -> Generator:
    return Generator(edge)


@pytest.fixture(scope="module")
def seen(vision: VisionEncoder) -> Embeddings:
    return vision.encode(picture())


def answer(generator: Generator, bundle: Bundle, seen: list[Embeddings], question: str, **more: object) -> str:
    return summarise(list(generator.stream(seen, question, **more)), bundle.calibration).text  # type: ignore[arg-type]


def test_a_picture_becomes_embeddings_of_the_announced_shape(edge: Bundle, seen: Embeddings) -> None:
    assert seen.data.shape == (edge.tokens_per_image, edge.hidden_size)
    assert seen.data.dtype == np.float32
    assert np.isfinite(seen.data).all()
    assert seen.encoder_id == edge.encoder_id


def test_encoding_twice_gives_the_same_numbers(vision: VisionEncoder, seen: Embeddings) -> None:
    assert (vision.encode(picture()).data == seen.data).all()


def test_a_bundle_without_vision_cannot_encode() -> None:
    with pytest.raises(ModelError, match="no vision encoder"):
        VisionEncoder(Bundle.open(find_bundle("cloud-vqa")))


def test_a_stream_ends_with_the_end_token_and_its_text_is_the_answer(
    edge: Bundle, generator: Generator, seen: Embeddings
) -> None:
    events = list(generator.stream([seen], QUESTION))
    assert events[-1].token_id in edge.calibration.eos_token_ids
    assert events[-1].text == ""
    made = summarise(events, edge.calibration)
    assert made.text == "".join(e.text for e in events)
    assert made.finish_reason == "stop"
    assert made.tokens == len(events) - 1
    assert all(0 <= e.probability <= 1 and 0 <= e.entropy <= 1 for e in events)


def test_the_answer_follows_the_picture(edge: Bundle, vision: VisionEncoder, generator: Generator) -> None:
    said = set()
    for colour in ((20, 20, 230), (230, 60, 20), (20, 200, 20)):
        drawn = np.full((64, 64, 3), 250, dtype=np.uint8)
        drawn[20:44, 20:44] = colour
        said.add(answer(generator, edge, [vision.encode(drawn)], "what color is the shape?"))
    assert len(said) == 3, f"three colours, but the answers were {said}"


@pytest.mark.parametrize("name", ["edge-vqa", "cloud-vqa"])
def test_both_decoders_read_the_edges_embeddings(name: str, seen: Embeddings) -> None:
    bundle = Bundle.open(find_bundle(name))
    assert answer(Generator(bundle), bundle, [seen], "what is in the picture?")


@pytest.mark.parametrize("question", ASKED)
def test_the_cache_gives_what_reading_everything_again_gives(edge: Bundle, seen: Embeddings, question: str) -> None:
    decoder, count = Decoder(edge), edge.tokens_per_image
    ids = [1, 20, 30, 40, 2, 50]
    text = decoder.embed(ids)
    whole, _ = decoder.step(np.concatenate([seen.data, text]), [*range(count + len(ids))], decoder.start())
    _, cache = decoder.step(np.concatenate([seen.data, text[:2]]), [*range(count + 2)], decoder.start())
    for i in range(2, len(ids)):
        stepped, cache = decoder.step(text[i : i + 1], [count + i], cache)
    assert cache.length == count + len(ids)
    np.testing.assert_allclose(stepped, whole, atol=2e-3)


def counted(limit: int) -> Callable[[], bool]:
    """False `limit` times, then True for ever."""
    answers: Iterator[bool] = chain(repeat(False, limit), repeat(True))
    return lambda: next(answers)


@pytest.mark.parametrize("limit", [0, 1])
def test_cancelling_stops_before_the_next_token(generator: Generator, seen: Embeddings, limit: int) -> None:
    events = list(generator.stream([seen], "describe the picture.", cancelled=counted(limit)))
    assert len(events) == limit


def test_a_cancelled_question_leaves_no_trace_in_the_next(generator: Generator, seen: Embeddings) -> None:
    before = list(generator.stream([seen], QUESTION))
    list(generator.stream([seen], "is there a dog?", cancelled=counted(1)))
    assert list(generator.stream([seen], QUESTION)) == before


def test_the_token_limit_is_kept_and_named(edge: Bundle, generator: Generator, seen: Embeddings) -> None:
    events = list(generator.stream([seen], "describe the picture.", max_new_tokens=1))
    assert len(events) == 1
    assert summarise(events, edge.calibration).finish_reason == "length"


def test_a_question_without_a_picture_is_answered(edge: Bundle, generator: Generator) -> None:
    assert answer(generator, edge, [], "is there a dog in the picture?") in ("yes", "no")


def test_words_never_seen_in_training_can_be_asked(edge: Bundle, generator: Generator, seen: Embeddings) -> None:
    assert answer(generator, edge, [seen], "Is there a Xylophonist-O-Matic™ — 蛙 — here??")


def test_history_changes_the_prompt_and_too_much_of_it_is_left_out(generator: Generator, seen: Embeddings) -> None:
    turns = tuple(Turn("is there a dog in the picture?", "yes") for _ in range(500))
    plain = list(generator.stream([seen], "what is it?"))
    told = list(generator.stream([seen], "what is it?", history=turns))
    assert told
    assert [e.probability for e in told] != [e.probability for e in plain]


@pytest.mark.parametrize("question", ["", "   \n"])
def test_an_empty_question_is_refused_at_the_call(generator: Generator, seen: Embeddings, question: str) -> None:
    with pytest.raises(UsageError, match="empty"):
        generator.stream([seen], question)


@pytest.mark.parametrize("question", ["why " * 400, "x" * 100_000], ids=["many words", "many characters"])
def test_a_question_over_the_context_is_refused_with_the_numbers(
    generator: Generator, seen: Embeddings, question: str
) -> None:
    with pytest.raises(UsageError, match="ask a shorter question"):
        generator.stream([seen], question)


def test_no_room_for_an_answer_is_refused(generator: Generator, seen: Embeddings) -> None:
    with pytest.raises(UsageError, match="at least one token"):
        generator.stream([seen], "why?", max_new_tokens=0)


def test_embeddings_of_another_encoder_are_refused(generator: Generator, seen: Embeddings) -> None:
    with pytest.raises(ModelError, match="the same release"):
        generator.stream([replace(seen, encoder_id="other")], "why?")


def test_embeddings_that_are_cut_or_not_finite_are_refused(generator: Generator, seen: Embeddings) -> None:
    broken = seen.data.copy()
    broken[3, 3] = np.nan
    for data in (seen.data[:-1], seen.data[:, :-1], broken):
        with pytest.raises(ModelError, match="finite numbers"):
            generator.stream([replace(seen, data=data)], "why?")


def test_more_pictures_than_the_model_takes_are_refused(edge: Bundle, generator: Generator, seen: Embeddings) -> None:
    with pytest.raises(ModelError, match="a question"):
        generator.stream([seen] * (edge.max_images * edge.layout.views_per_image + 1), "why?")


def test_int8_embeddings_keep_the_answers(edge: Bundle, generator: Generator, seen: Embeddings) -> None:
    step = np.abs(seen.data).max(axis=1, keepdims=True) / 127
    rounded = replace(seen, data=(np.round(seen.data / step) * step).astype(np.float32))
    for question in ASKED:
        assert answer(generator, edge, [rounded], question) == answer(generator, edge, [seen], question)


def test_an_answer_that_repeats_one_word_is_cut(
    edge: Bundle, generator: Generator, seen: Embeddings, monkeypatch: pytest.MonkeyPatch
) -> None:
    logits = np.zeros(100, dtype=np.float32)
    logits[50] = 9.0
    monkeypatch.setattr(Decoder, "step", lambda *given: (logits, given[-1]))
    monkeypatch.setattr(Decoder, "next", lambda *given: (logits, given[-1]))
    events = list(generator.stream([seen], QUESTION))
    assert [event.token_id for event in events] == [50] * 2
    assert summarise(events, edge.calibration).finish_reason == "length"
