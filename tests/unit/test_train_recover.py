"""A shipped pair is its own checkpoint: what was exported is read back bit for bit, the part that reckons too."""

from __future__ import annotations

import importlib.util
import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parents[2]))  # tools are not installed; last, so that edge_agent stays

if importlib.util.find_spec("torch") is None or importlib.util.find_spec("onnx") is None:
    pytest.skip("torch or onnx is not installed: the training tools are not tested here", allow_module_level=True)

import onnx
import torch

from reckoned_model import CONFIG, TOKENIZER
from tools.graph_weights import DecoderWeights
from tools.train.eyes import Eyes
from tools.train.graphs import export_decoder, rounded
from tools.train.model import Decoder, Ensemble
from tools.train.reckoned import Reckoned
from tools.train.reckoning import Reckoning
from tools.train.recover import checkpoint, decoders_of, reckoning_of
from tools.train.settings import BACKBONE_WIDTH, NAME_TOKENS
from tools.train.trained import load_trained

pytestmark = pytest.mark.filterwarnings("ignore")  # of torch's exporter, about itself


def pair(layers: tuple[int, ...] = (2, 2)) -> Ensemble:
    """Decoders with the same words and otherwise weights of their own, rounded as they are shipped."""
    members = [Decoder(CONFIG) for _ in layers]
    for member in members:
        for weight in member.parameters():
            weight.data = torch.randn_like(weight)
        member.words.weight.data = members[0].words.weight.data.clone()
    made = rounded(Ensemble(members))
    assert isinstance(made, Ensemble)
    return made


def equal(found: dict[str, torch.Tensor], module: torch.nn.Module) -> bool:
    wanted = module.state_dict()
    return found.keys() == wanted.keys() and all(torch.equal(found[name], wanted[name]) for name in wanted)


def test_members_of_an_ensemble_are_read_back_from_its_graph(tmp_path: Path) -> None:
    torch.manual_seed(1)
    made = pair()
    export_decoder(made, replace(CONFIG, layers=4), tmp_path / "decoder.onnx")
    found = decoders_of(DecoderWeights(tmp_path / "decoder.onnx"))
    assert len(found) == 2
    assert all(equal(one, member) for one, member in zip(found, made.members, strict=True))


def test_a_decoder_alone_is_read_back_too(tmp_path: Path) -> None:
    torch.manual_seed(2)
    (member,) = pair((2,)).members
    assert isinstance(member, Decoder)
    export_decoder(member, CONFIG, tmp_path / "decoder.onnx")
    (found,) = decoders_of(DecoderWeights(tmp_path / "decoder.onnx"))
    assert equal(found, member)


def test_what_reckons_is_read_back_from_the_branch_that_holds_it(tmp_path: Path) -> None:
    torch.manual_seed(3)
    reckoning = Reckoning(CONFIG.hidden)
    for weight in reckoning.parameters():
        weight.data = torch.randn_like(weight)
    made = Reckoned(pair(), reckoning, CONFIG, TOKENIZER)
    export_decoder(made, replace(CONFIG, layers=5), tmp_path / "decoder.onnx")
    graph = DecoderWeights(tmp_path / "decoder.onnx")
    assert equal(reckoning_of(graph), reckoning)
    members = [one.state_dict() for one in made.decoder.members]
    found = decoders_of(graph)
    assert all(torch.equal(one[name], own[name]) for one, own in zip(found, members, strict=True) for name in own)


def test_a_checkpoint_of_it_is_what_training_tools_load(tmp_path: Path) -> None:
    torch.manual_seed(4)
    (member,) = pair((2,)).members
    sizes = {"vocab_size": CONFIG.vocab, "hidden_size": 24, "num_attention_heads": 3, "intermediate_size": 24}
    config = {"text_config": {**sizes, "max_position_embeddings": CONFIG.context}, "connector_size": CONFIG.connector}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "manifest.json").write_text(json.dumps({"provenance": {"steps": 7, "minutes": 1.5}}))
    eyes = Eyes(CONFIG, torch.nn.Linear(BACKBONE_WIDTH, 10), torch.zeros(10, NAME_TOKENS, dtype=torch.int64))
    torch.save(checkpoint(tmp_path, eyes.state_dict(), member.state_dict()), tmp_path / "edge.pt")
    trained = load_trained(tmp_path / "edge.pt")
    assert (trained.step, trained.minutes, trained.config) == (7, 1.5, CONFIG)
    assert equal(dict(trained.decoder.state_dict()), member)


def test_a_graph_of_something_else_is_refused_by_name(tmp_path: Path) -> None:
    torch.manual_seed(5)
    path = tmp_path / "decoder.onnx"
    export_decoder(pair(), replace(CONFIG, layers=4), path)
    graph = onnx.load(str(path))
    for node in graph.graph.node:
        if node.op_type == "MatMul":
            node.op_type = "Gemm"
            break
    onnx.save(graph, str(path))
    with pytest.raises(SystemExit, match=r"decoder\.onnx: .* another release"):
        DecoderWeights(path)
