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

import numpy as np
import onnx
import torch
from tokenizers import Tokenizer

from edge_agent.vlm import Bundle, VisionEncoder
from edge_agent.vlm.bundle import DECODER
from edge_agent.vlm.session import open_session
from reckoned_model import CONFIG, TOKENIZER
from tools.graph_weights import DecoderWeights
from tools.train import recover as tool
from tools.train.eyes import Eyes
from tools.train.graphs import export_decoder, rounded
from tools.train.model import Decoder, Ensemble
from tools.train.reckoned import Reckoned
from tools.train.reckoning import Reckoning
from tools.train.recover import checkpoint, decoders_of, reckoning_of, recover
from tools.train.settings import BACKBONE_WIDTH, NAME_TOKENS, TEXT_POSITION, ModelConfig, Paths
from tools.train.text import ASK, REPLY
from tools.train.trained import load_pair, load_trained

MODELS = Path(__file__).resolve().parents[2] / "models"
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


def shipped_cloud() -> Reckoned:
    """The decoder of the shipped cloud, put together out of what is read back."""
    folder = MODELS / "cloud-vqa"
    graph, tokenizer = DecoderWeights(folder / DECODER), Tokenizer.from_file(str(folder / "tokenizer.json"))
    config, members = ModelConfig(tokenizer.get_vocab_size(), layers=1 + sum(graph.layers())), list[Decoder]()
    for state, layers in zip(decoders_of(graph), graph.layers(), strict=True):
        members.append(Decoder(replace(config, layers=layers)))
        members[-1].load_state_dict(state)
    reckoning = Reckoning(config.hidden)
    reckoning.load_state_dict(reckoning_of(graph))
    return Reckoned(Ensemble(members), reckoning, config, tokenizer).eval()


def test_the_shipped_cloud_read_back_says_what_its_graph_says_of_a_divided_picture() -> None:
    made = shipped_cloud()
    again = rounded(made).state_dict()
    assert all(torch.equal(value, again[name]) for name, value in made.state_dict().items())  # int8 already
    rng = np.random.default_rng(0)
    cells = np.repeat(np.repeat(rng.integers(20, 235, (2, 2, 3)), 224, axis=0), 224, axis=1)  # four of a colour each
    picture = (cells + rng.normal(0, 5, cells.shape)).clip(0, 255).astype(np.uint8)
    views = VisionEncoder(Bundle.open(MODELS / "edge-vqa")).encode_views(picture)
    tokenizer = Tokenizer.from_file(str(MODELS / "cloud-vqa" / "tokenizer.json"))
    ids = torch.tensor([[ASK, *tokenizer.encode("how many cars are there?").ids, REPLY]])
    seen = torch.from_numpy(np.concatenate([view.data for view in views]))[None]
    positions = torch.cat((torch.arange(seen.shape[1]), TEXT_POSITION + torch.arange(ids.shape[1])))[None]
    with torch.no_grad():
        x = torch.cat((seen, made.embed(ids)), dim=1)
        mask = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).tril()[None, None]
        wanted = made.logits(made.run(x, positions, mask)[0])[0, -1].numpy()
        plain = made.decoder.logits(made.decoder.run(x, positions, mask)[0])[0, -1].numpy()
    session = open_session(MODELS / "cloud-vqa" / DECODER, 1)
    feeds = {"inputs_embeds": x.numpy(), "position_ids": positions.numpy()}
    feeds["attention_mask"] = np.ones(x.shape[:2], np.int64)
    feeds |= {node.name: np.zeros((1, 6, 0, 32), np.float32) for node in session.get_inputs()[3:]}
    found = session.run(["logits"], feeds)[0][0, -1]
    np.testing.assert_allclose(found, wanted, atol=0.02)  # numbers next to impossible are told less exactly
    assert np.sort(np.abs(found - wanted))[-11] < 1e-3  # and nothing but ten numbers is told here
    assert np.abs(wanted - plain).max() > 1  # the reckoning was heard


def test_eyes_that_name_by_other_words_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tool, "imagenet_names", lambda: ["cat"] * 1000)
    with pytest.raises(SystemExit, match=r"vision_encoder\.onnx: its table of names"):
        recover(MODELS, Paths(tmp_path, tmp_path / "work"))


def test_the_shipped_pair_is_recovered_into_what_training_tools_load(tmp_path: Path) -> None:
    if importlib.util.find_spec("torchvision") is None:
        pytest.skip("torchvision is not installed: it has the list of names")
    paths = Paths(tmp_path, tmp_path / "work")
    assert [path.name for path in recover(MODELS, paths)] == [
        "tokenizer.json",
        "edge.pt",
        "cloud.pt",
        "cloud-before.pt",
        "reckoning.pt",
    ]
    edge, cloud = load_pair(paths, alone=False)
    assert (edge.config.layers, cloud.config.layers) == (4, 12)
    assert isinstance(cloud.decoder, Reckoned)
    assert equal(dict(cloud.decoder.state_dict()), shipped_cloud())
    assert all(torch.equal(value, cloud.eyes.state_dict()[name]) for name, value in edge.eyes.state_dict().items())
