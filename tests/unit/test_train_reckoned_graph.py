"""The exported graph reckons as torch does: whatever is asked, in pieces, in batches, again, before a draft."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

sys.path.append(str(Path(__file__).resolve().parents[2]))  # tools are not installed; last, so that edge_agent stays

if importlib.util.find_spec("torch") is None or importlib.util.find_spec("onnx") is None:
    pytest.skip("torch or onnx is not installed: the training tools are not tested here", allow_module_level=True)

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor

from edge_agent.types import F32
from reckoned_model import CONFIG, PLACES, TOKENIZER, prompt, reckoned
from tools.train.graphs import export_decoder
from tools.train.reckoned import TOLD
from tools.train.text import ASK, EOS, REPLY

COUNTED, COMPARED = "how many cars are there ?", "are there more cats than dogs ?"
RELATED = "is the bird above the bus ?"
OTHERWISE = ("how many red cars are there ?", "is the dog red ?", "what is the dog ?")
"""Two that open as one that is reckoned with does, and one that does not."""
ALIKE = {"atol": 2e-3, "rtol": 0.0}
Past = list[F32]


class Graph:
    """A decoder's graph; `profile` begins the name of a file that tells which nodes ran."""

    def __init__(self, path: Path, profile: Path | None = None) -> None:
        options = onnxruntime.SessionOptions()
        options.enable_profiling = profile is not None
        options.profile_file_prefix = str(profile)
        self.session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def read(
        self, x: Tensor, positions: Tensor, past: Past | None = None, seen: NDArray[np.int64] | None = None
    ) -> tuple[F32, Past]:
        """`x` [b, t, hidden] behind `past`, those rows of both that are `seen` [b, past + t]: logits [b, t, vocab]."""
        names = [node.name for node in self.session.get_inputs()[3:]]
        past = past or [np.zeros((len(x), CONFIG.heads, 0, CONFIG.head_dim), np.float32) for _ in names]
        feeds: dict[str, Any] = {
            "inputs_embeds": x.numpy(),
            "attention_mask": np.ones((len(x), past[0].shape[2] + x.shape[1]), np.int64) if seen is None else seen,
            "position_ids": positions.numpy(),
            **dict(zip(names, past, strict=True)),
        }
        logits, *kept = self.session.run(None, feeds)
        return logits, kept


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made: Path = tmp_path_factory.mktemp("graph") / "decoder.onnx"
    export_decoder(reckoned(), replace(CONFIG, layers=CONFIG.layers + 1), made)
    return made


@pytest.fixture(scope="module")
def graph(path: Path) -> Graph:
    return Graph(path)


pytestmark = pytest.mark.filterwarnings("ignore")  # of torch's tracer, about itself


def in_torch(x: Tensor, positions: Tensor) -> tuple[F32, F32]:
    """Logits [t, vocab] of a decoder that reads it all at once, and what it is told at the end, [12]."""
    decoder = reckoned()
    mask = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).tril()[None, None]
    with torch.no_grad():
        hidden = decoder.run(x, positions, mask)[0]
        return decoder.logits(hidden)[0].numpy(), hidden[0, -1, -TOLD:].numpy()


@pytest.mark.parametrize("question", [COUNTED, COMPARED, RELATED, *OTHERWISE])
def test_whatever_is_asked_the_graph_says_what_torch_says(graph: Graph, question: str) -> None:
    x, positions, _ = prompt(reckoned(), question)
    wanted, told = in_torch(x, positions)
    assert np.abs(told).max() > 0.05 if question not in OTHERWISE else not told.any()
    np.testing.assert_allclose(graph.read(x, positions)[0][0], wanted, **ALIKE)


@pytest.mark.parametrize(
    ("question", "asks", "tells"),
    [(COUNTED, True, True), (OTHERWISE[0], True, False), (OTHERWISE[1], True, False), (OTHERWISE[2], False, False)],
)
def test_only_what_a_question_needs_is_computed(
    path: Path, tmp_path: Path, question: str, asks: bool, tells: bool
) -> None:
    traced = Graph(path, tmp_path / "profile")
    traced.read(*prompt(reckoned(), question)[:2])
    ran = [event["name"] for event in json.loads(Path(traced.session.end_profiling()).read_text("utf-8"))]
    of: Callable[[str], bool] = lambda step: any(f"/teller/{step}/" in name for name in ran)  # noqa: E731
    assert (of("text"), of("asks"), of("tells")) == (True, asks, tells)


def test_from_the_cache_in_pieces_it_says_the_same_as_torch_in_one(graph: Graph) -> None:
    x, positions, _ = prompt(reckoned(), COUNTED)
    found, past, at = [], None, 0
    for size in (PLACES, 3, x.shape[1] - PLACES - 4, 1):  # the last alone begins the reply
        logits, past = graph.read(x[:, at : at + size], positions[:, at : at + size], past)
        found.append(logits[0])
        at += size
    np.testing.assert_allclose(np.concatenate(found), in_torch(x, positions)[0], **ALIKE)


def test_a_picture_that_is_kept_is_reckoned_with_for_one_question_after_another(graph: Graph) -> None:
    prompts = {question: prompt(reckoned(), question)[:2] for question in (COUNTED, OTHERWISE[2], COMPARED)}
    x, positions = prompts[COUNTED]
    kept = graph.read(x[:, :PLACES], positions[:, :PLACES])[1]
    for question in (COUNTED, OTHERWISE[2], COMPARED, COUNTED):
        x, positions = prompts[question]
        found, _ = graph.read(x[:, PLACES:], positions[:, PLACES:], kept)
        np.testing.assert_allclose(found[0], in_torch(x, positions)[0][PLACES:], **ALIKE)


@pytest.mark.parametrize("turns", [(COUNTED, COMPARED), (COMPARED, OTHERWISE[2]), (OTHERWISE[2], COUNTED)])
def test_of_a_conversation_the_last_question_is_meant(graph: Graph, turns: tuple[str, str]) -> None:
    decoder = reckoned()
    x, positions, _ = prompt(decoder, turns[0])
    ids = [TOKENIZER.token_to_id("3"), EOS, ASK, *TOKENIZER.encode(turns[1]).ids, REPLY]
    with torch.no_grad():
        x = torch.cat((x, decoder.embed(torch.tensor([ids]))), dim=1)
    positions = torch.cat((positions, positions[:, -1:] + 1 + torch.arange(len(ids))), dim=1)
    wanted, told = in_torch(x, positions)
    alone = in_torch(*prompt(decoder, turns[1])[:2])[1]
    np.testing.assert_allclose(told, alone, **ALIKE)
    np.testing.assert_allclose(graph.read(x, positions)[0][0], wanted, **ALIKE)


def test_in_a_batch_each_row_is_told_what_it_is_told_alone(graph: Graph) -> None:
    """The second row asks nothing of the kind, the third has no tiles, the fourth is shorter: filled up in front."""
    questions = (COUNTED, "what red is the dog ?", COUNTED, "count the cars .")
    prompts = [prompt(reckoned(), question)[:2] for question in questions]
    longest = max(x.shape[1] for x, _ in prompts)
    rows = [torch.nn.functional.pad(x, (0, 0, longest - x.shape[1], 0)) for x, _ in prompts]
    places = [torch.nn.functional.pad(at, (longest - at.shape[1], 0)) for _, at in prompts]
    seen = np.array([[0] * (longest - x.shape[1]) + [1] * x.shape[1] for x, _ in prompts], np.int64)
    seen[2, PLACES // 5 : PLACES] = 0
    together, _ = graph.read(torch.cat(rows), torch.cat(places), seen=seen)
    for i, (x, positions) in enumerate(prompts):
        alone, _ = graph.read(x, positions, seen=seen[i : i + 1, longest - x.shape[1] :])
        np.testing.assert_allclose(together[i, -1], alone[0, -1], **ALIKE)
    assert np.abs(together[0, -1] - together[2, -1]).max() > 0.05  # the tiles were read


def test_a_draft_behind_the_question_is_checked_by_what_is_said_without_it(graph: Graph) -> None:
    decoder = reckoned()
    x, positions, _ = prompt(decoder, COUNTED)
    draft = [TOKENIZER.token_to_id(word) for word in ("2", "cars", "yes")]
    with torch.no_grad():
        more = decoder.embed(torch.tensor([draft]))
    behind = positions[:, -1:] + 1 + torch.arange(len(draft))
    checked, _ = graph.read(torch.cat((x, more), dim=1), torch.cat((positions, behind), dim=1))
    said, past = graph.read(x, positions)
    steps = [said[0, -1]]
    for i in range(len(draft)):
        logits, past = graph.read(more[:, i : i + 1], behind[:, i : i + 1], past)
        steps.append(logits[0, -1])
    np.testing.assert_allclose(checked[0, -len(draft) - 1 :], np.stack(steps), **ALIKE)
