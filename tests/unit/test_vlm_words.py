"""The quick ways of the decode loop do what the plain ones do: texts piece by piece, one token's step."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge_agent.vlm import Bundle, Generator, VisionEncoder, find_bundle
from edge_agent.vlm.selftest import QUESTION, picture
from edge_agent.vlm.words import PieceText, WholeText, Words

TINY = Path(__file__).resolve().parents[1] / "data" / "tiny-smolvlm"


@pytest.fixture(scope="module")
def generator() -> Generator:
    return Generator(Bundle.open(find_bundle("edge-vqa")))


def test_pieces_add_up_to_what_the_tokenizer_writes(generator: Generator) -> None:
    """Random tokens of the shipped vocabulary, special ones and word pieces at every place among them."""
    tokenizer, random = generator.writer.tokenizer, np.random.default_rng(3)
    assert isinstance(generator.text, PieceText)
    for _ in range(400):
        ids: list[int] = []
        written = ""
        for token in random.integers(0, tokenizer.get_vocab_size(), random.integers(1, 9)):
            ids.append(int(token) if random.random() < 0.8 else int(token) % 6)
            written = generator.text(written, ids)
        assert written == tokenizer.decode(ids)


def test_words_of_pieces_stop_where_words_of_the_whole_text_do(generator: Generator) -> None:
    ids = generator.writer.tokenizer.encode("a dog and a cat on the table", add_special_tokens=False).ids

    def told(words: Words) -> list[str]:
        parts = []
        for token in ids:
            parts.append(words.add(token))
            if words.stopped:
                break
        return [*parts, words.end()]

    for stops in ((), (" cat",), ("table", " on")):
        plain = told(Words(WholeText(generator.writer.tokenizer.decode), stops))
        assert told(Words(generator.text, stops)) == plain
    assert "".join(told(Words(generator.text, (" cat",)))) == "a dog and a"


def test_a_tokenizer_of_bytes_is_asked_for_the_whole_text() -> None:
    assert isinstance(Generator(Bundle.open(TINY)).text, WholeText)


@pytest.mark.parametrize("which", ["edge-vqa", TINY])
def test_one_more_token_is_read_as_a_step_of_one_is(which: str | Path) -> None:
    bundle = Bundle.open(find_bundle(which))
    generator = Generator(bundle)
    prompt = generator.prompt(VisionEncoder(bundle).look(picture()), QUESTION)
    logits, cache = generator.read(prompt)
    token, position = int(logits.argmax()), prompt.next_position
    quick, longer = generator.decoder.next(token, position, cache)
    stepped, other = generator.decoder.step(generator.decoder.embed([token]), [position], cache)
    np.testing.assert_array_equal(quick, stepped)
    assert longer.length == other.length == cache.length + 1
