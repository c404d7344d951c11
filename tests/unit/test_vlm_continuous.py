"""Answers decoded side by side, coming and going: each token for token what it is alone."""

from __future__ import annotations

import numpy as np
import pytest

from edge_agent.types import Embeddings, Turn
from edge_agent.vlm import Bundle, Generator, find_bundle
from edge_agent.vlm.continuous import ContinuousBatch, Underway

TIE_NAT = 1e-3
QUESTIONS = (
    "what is in the picture?",
    "describe the picture.",
    "how many people are there?",
    "is there a dog in the picture, or anything else that has four legs?",
    "what color is the shape?",
    "list everything that you see.",
)


@pytest.fixture(scope="module", params=["edge-vqa", "cloud-vqa"])
def generator(request: pytest.FixtureRequest) -> Generator:
    return Generator(Bundle.open(find_bundle(request.param)))


def asked(generator: Generator, seed: int) -> tuple[list[Embeddings], str, tuple[Turn, ...]]:
    """Question number `seed`: other pictures, other lengths, some with a history, one without a picture."""
    bundle = generator._bundle
    rng = np.random.default_rng(seed)
    views = 0 if seed == 4 else 1
    size = (bundle.tokens_per_image, bundle.hidden_size)
    made = [Embeddings(rng.normal(0, 0.5, size).astype(np.float32), bundle.encoder_id) for _ in range(views)]
    history = (Turn("what is in the picture?", "a dog and a cat"),) if seed % 3 == 1 else ()
    return made, QUESTIONS[seed % len(QUESTIONS)], history


def begun(generator: Generator, seed: int, **more: object) -> Underway:
    seen, question, history = asked(generator, seed)
    return generator.begin(seen, question, history=history, max_new_tokens=12, **more)  # type: ignore[arg-type]


def alone(generator: Generator, seed: int) -> list[int]:
    seen, question, history = asked(generator, seed)
    return [one.token_id for one in generator.stream(seen, question, history=history, max_new_tokens=12)]


def ids(one: Underway) -> list[int]:
    return [event.token_id for event in one.answer.events]


def tie_or_same(generator: Generator, seed: int, made: list[int]) -> bool:
    """Whether the tokens are those of the answer alone, or part where its two likeliest tokens are a near tie."""
    wanted = alone(generator, seed)
    if made == wanted:
        return True
    at = next((n for n, (a, b) in enumerate(zip(made, wanted, strict=False)) if a != b), min(len(made), len(wanted)))
    seen, question, history = asked(generator, seed)
    logits, cache = generator.read(prompt := generator.prompt(seen, question, history, 12))
    for n, token in enumerate(wanted[:at]):
        logits, cache = generator.decoder.next(token, prompt.next_position + n, cache)
    second, first = np.sort(logits)[-2:]
    return bool(first - second < TIE_NAT)


def test_each_answer_is_its_own_whoever_runs_beside_it(generator: Generator) -> None:
    batch = ContinuousBatch(generator.decoder)
    made: dict[int, Underway] = {}
    for seed in range(9):  # one more before each token, so that they are of all ages
        made[seed] = begun(generator, seed)
        if made[seed].token is not None:
            batch.add(made[seed])
        if batch.lanes:
            batch.step()
    while batch.lanes:
        batch.step()
    assert all(tie_or_same(generator, seed, ids(one)) for seed, one in made.items())
    assert max(len(ids(one)) for one in made.values()) > 3


def test_an_answer_that_is_taken_away_leaves_the_others_as_they_were(generator: Generator) -> None:
    batch = ContinuousBatch(generator.decoder)
    made = {seed: one for seed in range(6) if (one := begun(generator, seed)).token is not None}
    for one in made.values():
        batch.add(one)
    batch.step()
    gone = max(made, key=lambda seed: len(asked(generator, seed)[1]))
    batch.keep(lambda lane: lane is not made[gone])
    assert made[gone] not in batch.lanes
    while batch.lanes:
        batch.step()
    del made[gone]
    assert len(made) > 2
    assert all(tie_or_same(generator, seed, ids(one)) for seed, one in made.items())


def test_padding_goes_with_whom_it_was_for(generator: Generator) -> None:
    batch = ContinuousBatch(generator.decoder)
    _, little = generator.decoder.step(generator.decoder.embed([7, 8, 9]), range(3), generator.decoder.start())
    short, long = Underway(begun(generator, 4).answer, 7, 3, little), begun(generator, 0)
    length = generator.prompt(*asked(generator, 0)[:2]).rows
    batch.add(short)
    batch.add(Underway(long.answer, 7, long.position, long.cache))
    batch._arrange()
    assert (batch._cache.length, batch._mask.sum(axis=1).tolist()) == (length, [3, length])
    batch.keep(lambda lane: lane is short)
    batch._arrange()
    assert (batch._cache.length, batch._mask.shape) == (3, (1, 3))
    assert all(np.array_equal(a, b) for a, b in zip(batch._cache.tensors, little.tensors, strict=True))
    batch.keep(lambda _: False)
    assert batch._cache.tensors == ()


@pytest.mark.parametrize("changed", [None, 0, 2])
def test_with_a_draft_the_tokens_are_the_same(generator: Generator, changed: int | None) -> None:
    wanted = alone(generator, 1)
    draft = list(wanted)
    if changed is not None and changed < len(draft):
        draft[changed] = 9 if draft[changed] != 9 else 10
    one = begun(generator, 1, draft=draft)
    batch = ContinuousBatch(generator.decoder)
    if one.token is not None:
        batch.add(one)
    while batch.lanes:
        batch.step()
    assert tie_or_same(generator, 1, ids(one))
