"""What `bench codec --case delta` counts: nearly nothing where nothing changed, and answers that came out otherwise."""

from __future__ import annotations

import pytest

import bases
import learned
from edge_agent.cli.bench import progress
from edge_agent.cli.bench.codec_delta import chain, judged, sizes, whole

CODEC = learned.changes_codec()
PICTURE = bases.embeddings(1, views=5)


def test_the_same_picture_again_takes_next_to_nothing() -> None:
    counted = sizes(chain(CODEC, [PICTURE] * 4, 0)[1:], whole(CODEC, [PICTURE] * 4, 0)[1:])
    assert counted["told_share"] == 1
    assert counted["bytes_mean"] < counted["whole_bytes_mean"] / 2
    assert counted["ratio"] == pytest.approx(counted["whole_bytes_mean"] / counted["bytes_mean"])


def test_other_pictures_go_up_whole_and_take_no_more() -> None:
    pictures = [bases.embeddings(seed, views=5) for seed in range(4)]
    counted = sizes(chain(CODEC, pictures, 0)[1:], whole(CODEC, pictures, 0)[1:])
    assert (counted["told_share"], counted["ratio"]) == (0, 1)


def test_answers_are_compared_picture_by_picture() -> None:
    exact, other = [["a", "b"], ["c", "d"]], [["a", "x"], ["c", "d"]]
    found = judged(exact, other, exact)
    assert (found["questions"], found["changed_pct"], found["whole_changed_pct"]) == (4, 25, 0)
    low, high = found["more_changed_pct_95"]
    assert (low, high) == (0, 50)


def test_a_long_silence_is_broken_on_stderr_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = progress.Progress("encoding frames", 3)
    assert said.one("x") == "x"
    monkeypatch.setattr(progress, "EVERY_S", -1.0)
    said.one("y")
    assert capsys.readouterr() == ("", "encoding frames: 2 of 3\n")
