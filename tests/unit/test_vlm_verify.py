"""A drafted answer, right or wrong, changes nothing but how often the decoder is asked."""

from __future__ import annotations

import pytest

from edge_agent.types import Embeddings
from edge_agent.vlm import Bundle, Generator, VisionEncoder, find_bundle
from edge_agent.vlm.selftest import picture
from edge_agent.vlm.verify import worth_reading

ASKED = ("what is in the picture?", "is there a dog in the picture?", "what colour is the ball?")


@pytest.fixture(scope="module")
def edge() -> Bundle:
    return Bundle.open(find_bundle("edge-vqa"))


@pytest.fixture(scope="module")
def seen(edge: Bundle) -> list[Embeddings]:
    return [VisionEncoder(edge).encode(picture())]


@pytest.fixture
def generator(edge: Bundle) -> Generator:
    return Generator(edge)


def ids(generator: Generator, seen: list[Embeddings], question: str, **more: object) -> list[int]:
    return [event.token_id for event in generator.stream(seen, question, **more)]  # type: ignore[arg-type]


def drafts(plain: list[int]) -> list[tuple[int, ...]]:
    """Right, right and too long, wrong at each place, nonsense."""
    wrong = [(*plain[:at], (one + 1) % 4096 or 7, *plain[at + 1 :]) for at, one in enumerate(plain)]
    return [
        tuple(plain),
        (*plain, *range(10, 30)),
        (*plain[:-1], 99, 98, 97),
        *wrong,
        (-1, 10**9),
        (10**6,),
        tuple(range(40)),
    ]


@pytest.mark.parametrize("question", ASKED)
def test_an_answer_is_the_same_whatever_was_drafted(
    generator: Generator, seen: list[Embeddings], question: str
) -> None:
    plain = ids(generator, seen, question)
    for draft in drafts(plain):
        assert ids(generator, seen, question, draft=draft) == plain, draft


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_a_draft_never_makes_an_answer_longer_than_its_limit(
    generator: Generator, seen: list[Embeddings], limit: int
) -> None:
    plain = ids(generator, seen, ASKED[0], max_new_tokens=limit)
    assert len(plain) <= limit
    assert ids(generator, seen, ASKED[0], max_new_tokens=limit, draft=(*plain, 5, 6, 7)) == plain


def test_a_whole_draft_that_stands_costs_one_pass(
    generator: Generator, seen: list[Embeddings], monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = ids(generator, seen, ASKED[0])
    steps: list[int] = []
    read, one = generator.decoder.read, generator.decoder.next
    monkeypatch.setattr(generator.decoder, "read", lambda *a: (steps.append(a[0].shape[1]), read(*a))[1])
    monkeypatch.setattr(generator.decoder, "next", lambda *a: (steps.append(1), one(*a))[1])
    assert ids(generator, seen, ASKED[0], draft=plain) == plain
    assert len(steps) == 1
    ids(generator, seen, ASKED[0])
    assert len(steps) - 1 == len(plain)


def test_only_what_can_stand_is_read() -> None:
    assert worth_reading([4, 5, 3, 6], 16, 100, (3,)) == (4, 5)
    assert worth_reading([4, 5, 6], 2, 100, (3,)) == (4, 5)
    assert worth_reading([4, 100, 6], 16, 100, ()) == (4,)
    assert worth_reading([-1, 4], 16, 100, ()) == ()
    assert worth_reading([3], 16, 100, (3,)) == ()


def test_bundles_made_as_a_pair_read_each_others_tokens(edge: Bundle) -> None:
    assert edge.tokenizer_id == Bundle.open(find_bundle("cloud-vqa")).tokenizer_id
