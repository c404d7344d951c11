"""A vLLM that serves our own decoder: its tokens are known, so answers end as our runtime's, and drafts are checked."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pytest

from cloud_stub.backends.base import Prompt
from cloud_stub.backends.chat_server import ChatServer
from cloud_stub.backends.token_answers import entropy_of
from cloud_stub.backends.vllm import VllmBackend
from edge_agent.errors import CloudError, UsageError
from edge_agent.types import Embeddings, TokenEvent, Turn
from edge_agent.vlm import Bundle, find_bundle
from engines import served
from token_engines import TokenEngine

ANSWER = "a cat and a dog on the table"


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return Bundle.open(find_bundle("cloud-vqa"), verify=False)


@pytest.fixture
def engine(bundle: Bundle) -> Iterator[tuple[TokenEngine, str]]:
    made = TokenEngine(bundle, ANSWER)
    with served(made) as url:
        yield made, url


def opened(url: str) -> VllmBackend:
    return VllmBackend(ChatServer(url), find_bundle("cloud-vqa"))


def views(bundle: Bundle, count: int = 2) -> tuple[Embeddings, ...]:
    rows = np.random.default_rng(0).normal(size=(bundle.tokens_per_image, bundle.hidden_size)).astype(np.float32)
    return (Embeddings(rows, bundle.encoder_id),) * count


def answered(backend: VllmBackend, asked: Prompt) -> list[TokenEvent]:
    return list(backend.stream(asked, lambda: False))


def ids(events: list[TokenEvent]) -> list[int]:
    return [event.token_id for event in events]


def test_tokens_come_by_their_ids_and_the_text_is_our_own(engine: tuple[TokenEngine, str], bundle: Bundle) -> None:
    fake, url = engine
    backend = opened(url)
    assert backend.tokenizer_id == bundle.tokenizer_id
    asked = Prompt(views(bundle), "what is it?", (Turn("is it red?", "no"),), 16)
    assert backend.prompt_tokens(asked) == len(fake.prompt(backend.body(asked))[0])
    events = answered(backend, asked)
    assert ids(events) == fake.answer
    told = backend.summarise(events)
    assert (told.text, told.tokens, told.finish_reason) == (ANSWER, len(fake.answer) - 1, "stop")
    assert 0 < told.confidence < 1


@pytest.mark.parametrize(
    ("draft", "streams"),
    [
        (ANSWER, 0),  # all of it stands, and the end comes with it
        ("a cat and a dog", 1),  # all of it stands
        ("a cat and a bird on the table", 1),
        ("two birds", 1),
        ("a cat and a dog on the table and a cup", 0),  # the answer ends before
    ],
)
def test_a_draft_is_read_in_one_call_and_changes_no_token(
    engine: tuple[TokenEngine, str], bundle: Bundle, draft: str, streams: int
) -> None:
    fake, url = engine
    backend = opened(url)
    fake.asked_whole.clear()
    events = answered(backend, Prompt(views(bundle), "what is it?", (), 16, tuple(fake.ids(draft))))
    assert ids(events) == fake.answer
    assert "".join(event.text for event in events) == ANSWER
    (call,) = fake.asked_whole
    assert (call["max_tokens"], call["messages"][-1]["content"]) == (1, draft)
    assert call["prompt_logprobs"] > 0
    assert len(fake.bodies) == streams
    for body in fake.bodies:  # it goes on behind what stands, and makes no more than is missing
        begun = fake.ids(body["messages"][-1]["content"])
        assert begun == fake.answer[: len(begun)]
        assert body["max_tokens"] + len(begun) == 16


def test_no_more_tokens_than_were_asked_for(engine: tuple[TokenEngine, str], bundle: Bundle) -> None:
    fake, url = engine
    for draft in ((), tuple(fake.answer[:2]), tuple(fake.answer[:5])):
        events = answered(opened(url), Prompt(views(bundle), "what is it?", (), 3, draft))
        assert ids(events) == fake.answer[:3]


def test_an_answer_that_repeats_itself_ends_as_ours_does(engine: tuple[TokenEngine, str], bundle: Bundle) -> None:
    fake, url = engine
    fake.answer = fake.ids("cat cat cat cat cat")
    for draft in ((), tuple(fake.answer)):
        assert ids(answered(opened(url), Prompt(views(bundle), "what is it?", (), 16, draft))) == fake.answer[:2]


def test_a_draft_that_its_own_text_does_not_give_again_is_made_anew(
    engine: tuple[TokenEngine, str], bundle: Bundle
) -> None:
    fake, url = engine
    pieces = [number for word, number in fake.tokenizer.get_vocab().items() if word.startswith("##")]
    fake.answer = [pieces[0], *fake.answer]  # a piece of a word that has no beginning
    backend = opened(url)
    fake.asked_whole.clear()
    asked = Prompt(views(bundle), "what is it?", (), 16, tuple(fake.answer[:4]))
    assert ids(answered(backend, asked)) == fake.answer
    assert fake.asked_whole == []


def test_an_answer_that_cannot_be_gone_on_with_in_words_is_made_whole(
    engine: tuple[TokenEngine, str], bundle: Bundle
) -> None:
    fake, url = engine
    word = fake.ids("a")[0]
    pieces = (number for text, number in fake.tokenizer.get_vocab().items() if text.startswith("##"))
    piece = next(one for one in pieces if fake.ids(fake.tokenizer.decode([word, one])) != [word, one])
    fake.answer = [word, piece, *fake.answer]
    asked = Prompt(views(bundle), "what is it?", (), 16, (word, fake.ids("dog")[0]))
    events = answered(opened(url), asked)
    assert ids(events) == fake.answer
    (body,) = fake.bodies
    assert (body["messages"][-1]["role"], body["max_tokens"]) == ("user", 16)


def test_an_engine_with_other_tokens_gets_no_drafts(engine: tuple[TokenEngine, str], bundle: Bundle) -> None:
    fake, url = engine
    fake.splits = False
    backend = opened(url)
    assert backend.tokenizer_id is None
    fake.asked_whole.clear()
    answered(backend, Prompt(views(bundle), "what is it?", (), 16, tuple(fake.answer[:2])))
    assert fake.asked_whole == []


def test_an_engine_that_splits_differently_later_is_not_believed(
    engine: tuple[TokenEngine, str], bundle: Bundle
) -> None:
    fake, url = engine
    backend = opened(url)
    fake.garbled = {"prompt_token_ids": [1, 2, 3]}
    asked = Prompt(views(bundle), "what is it?", (), 16, tuple(fake.ids("two birds")))
    assert ids(answered(backend, asked)) == fake.answer


NO_ROW = 1 << 20  # of the vocabulary
OF_A_DRAFT = [
    {"prompt_logprobs": None},
    {"prompt_logprobs": [None] * 2000},
    {"prompt_logprobs": [{"x": {}}] * 2000},
    {"prompt_logprobs": [{}] * 2000},
    {"prompt_token_ids": 7},
    {"choices": [], "prompt_logprobs": []},
]


@pytest.mark.parametrize(
    ("wrong", "drafted"),
    [*(({"garbled": one}, 2) for one in OF_A_DRAFT), ({"tells": False}, 0), ({"answer": [NO_ROW]}, 0)],
    ids=str,
)
def test_rubbish_about_tokens_is_an_internal_error(
    engine: tuple[TokenEngine, str], bundle: Bundle, wrong: dict[str, object], drafted: int
) -> None:
    fake, url = engine
    backend = opened(url)
    draft = tuple(fake.answer[:drafted])
    for name, value in wrong.items():
        setattr(fake, name, value)
    with pytest.raises(CloudError) as caught:
        answered(backend, Prompt(views(bundle), "what is it?", (), 16, draft))
    assert caught.value.code == "internal"


def test_turns_that_do_not_fit_are_left_out_and_a_question_that_does_not_is_refused(
    engine: tuple[TokenEngine, str], bundle: Bundle
) -> None:
    fake, url = engine
    backend = opened(url)
    history = tuple(Turn("what is on the table? " * 10, "a cup") for _ in range(6))
    asked = Prompt(views(bundle), "what is it?", history, 16)
    answered(backend, asked)
    sent = fake.bodies[0]["messages"]
    assert 1 < len(sent) < 1 + 2 * len(history)
    assert backend.prompt_tokens(asked) == len(fake.prompt(fake.bodies[0])[0])
    with pytest.raises(UsageError):
        backend.prompt_tokens(Prompt(views(bundle), "what is on the table? " * 60, (), 16))


def test_entropy_lies_between_what_it_may_be_by_the_likeliest_alone() -> None:
    vocab, share = 4661, 0.9
    rest = -(1 - share) * math.log(1 - share) - share * math.log(share)
    least, most = rest / math.log(vocab), (rest + (1 - share) * math.log(vocab - 1)) / math.log(vocab)
    assert least < entropy_of((math.log(share),), vocab) < most
    assert entropy_of((0.0,), vocab) == 0
    assert entropy_of((math.log(1 / 2),) * 2, 2) == pytest.approx(1)
