"""SmolVLM's file layout: the very tokens of transformers, every precision, splitting, padding, and clear refusals.

The model in tests/data/tiny-smolvlm has its architecture and random weights; `tools/smolvlm` made it and the golden
tokens, which transformers computed in padded batches.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from onnxruntime import InferenceSession

from edge_agent.errors import ModelError, UsageError
from edge_agent.types import U8, Embeddings, Modality, Turn
from edge_agent.vlm import Bundle, Generator, VisionEncoder, find_bundle, list_bundles, open_bundle, verify_bundle
from edge_agent.vlm.bundle import DECODER, EMBED, VISION
from edge_agent.vlm.chat import ChatWriter, pictures_of
from edge_agent.vlm.providers import signed_convolutions
from edge_agent.vlm.resample import resize
from edge_agent.vlm.splitting import to_longest, to_tiles
from edge_agent.vlm.vision import preparation_of

DATA = Path(__file__).resolve().parents[1] / "data"
FOLDER, GOLDEN = DATA / "tiny-smolvlm", DATA / "tiny-smolvlm-golden"
RECORD = json.loads((GOLDEN / "golden.json").read_text("utf-8"))
CASES = RECORD["cases"]
PILLOW = {(1, 1): 107895, (2, 3): 505957, (64, 48): 708853, (333, 77): 834563, (40, 300): 305623}


def picture(number: int) -> U8:
    return np.asarray(cv2.imread(str(GOLDEN / f"{number}.png")), dtype=np.uint8)


class Model:
    """The tiny model in one precision, with and without splitting."""

    def __init__(self, variant: str) -> None:
        self.bundles = {on: Bundle.open(FOLDER, variant=variant, splitting=on) for on in (False, True)}
        self.vision = {on: VisionEncoder(bundle) for on, bundle in self.bundles.items()}
        self.generator = Generator(self.bundles[False])

    def tokens(self, case: dict[str, Any], limit: int = RECORD["max_new_tokens"]) -> list[int]:
        seen = [one for n in case["pictures"] for one in self.vision[case["splitting"]].look(picture(n))]
        history = [Turn(*pair) for pair in case["history"]]
        stream = self.generator.stream(seen, case["question"], history=history, max_new_tokens=limit)
        return [event.token_id for event in stream]


def opened(path: Path) -> InferenceSession:
    """Default options; without one fusion where ONNX Runtime 1.23 trips over its own casts, as it does with fp16."""
    try:
        return InferenceSession(str(path))
    except Exception as error:
        if "InsertedPrecisionFreeCast" not in str(error):
            raise
        return InferenceSession(str(path), disabled_optimizers=["SimplifiedLayerNormFusion"])


class Plain:
    """The graphs of one precision as anybody would run them, each with its own types: no table, no kept prefix."""

    def __init__(self, variant: str) -> None:
        names = ("vision_encoder", "embed_tokens", "decoder_model_merged")
        self.graphs = {one: opened(FOLDER / "onnx" / f"{one}_{variant}.onnx") for one in names}
        self.float = np.float16 if variant == "fp16" else np.float32

    def seen(self, model: Model, case: dict[str, Any]) -> list[np.ndarray[Any, Any]]:
        """[tokens, hidden] of each view, in the order in which the prompt has them."""
        made, preparation = [], preparation_of(model.bundles[case["splitting"]])
        for view in (one for n in case["pictures"] for one in preparation.look(picture(n))):
            mask = np.ones((1, 1, *view.pixels.shape[3:]), dtype=np.bool_)
            feeds = {"pixel_values": view.pixels.astype(self.float), "pixel_attention_mask": mask}
            made.append(self.graphs["vision_encoder"].run(None, feeds)[0].reshape(-1, 32))
        return made

    def tokens(self, model: Model, case: dict[str, Any], limit: int) -> list[int]:
        looked = [one for n in case["pictures"] for one in model.vision[case["splitting"]].look(picture(n))]
        views = iter(self.seen(model, case))
        history = [Turn(*pair) for pair in case["history"]]
        chunks = model.generator.prompt(looked, case["question"], history, limit).chunks
        decoder = self.graphs["decoder_model_merged"]
        past = [one for one in decoder.get_inputs() if one.name.startswith("past_key_values")]
        cache = [np.zeros((1, one.shape[1], 0, one.shape[3]), self.float) for one in past]
        ids: list[int] = []
        reads = [[next(views) if p.data is not None else self.embedded(p.ids) for p in chunk] for chunk in chunks]
        length = 0
        while len(ids) < limit:
            rows = np.concatenate(reads.pop(0))
            at = np.arange(length, length + len(rows))[None]
            length += len(rows)
            feeds = {"inputs_embeds": rows[None], "attention_mask": np.ones((1, length), np.int64), "position_ids": at}
            logits, *cache = decoder.run(None, feeds | dict(zip((one.name for one in past), cache, strict=True)))
            if reads:
                continue
            ids.append(int(logits[0, -1].argmax()))
            if ids[-1] in model.generator.writer.ends:
                break
            reads.append([self.embedded(ids[-1:])])
        return ids

    def embedded(self, ids: Sequence[int]) -> np.ndarray[Any, Any]:
        made: np.ndarray[Any, Any] = self.graphs["embed_tokens"].run(None, {"input_ids": np.array([ids])})[0][0]
        return made


@pytest.fixture(scope="module")
def model() -> Model:
    return Model("")


def test_the_golden_cases_cover_what_they_are_meant_to() -> None:
    assert {len(case["pictures"]) for case in CASES} == {0, 1, 2, 3}
    assert {case["splitting"] for case in CASES if case["pictures"]} == {True, False}
    assert {len(case["history"]) for case in CASES} == {0, 1, 2}
    assert len({tuple(case["tokens"]) for case in CASES}) > len(CASES) // 2


@pytest.mark.parametrize("case", CASES, ids=[str(i) for i in range(len(CASES))])
def test_tokens_are_those_of_transformers(model: Model, case: dict[str, Any]) -> None:
    assert model.tokens(case) == case["tokens"]


@pytest.mark.parametrize(("variant", "least"), [("fp16", 0.8), ("int8", 0.0), ("q4", 0.0)])
def test_other_precisions_load_and_answer(variant: str, least: float) -> None:
    if variant == "int8" and not signed_convolutions():
        with pytest.raises(ModelError, match="--precision quantized"):
            Model(variant)
        return
    made = Model(variant)
    first = [made.tokens(case, 1) == case["tokens"][:1] for case in CASES]
    assert sum(first) >= least * len(CASES)
    plain = Plain(variant)
    for case in CASES[::3]:
        assert made.tokens(case) == plain.tokens(made, case, RECORD["max_new_tokens"])
    embeddings = made.vision[False].encode(picture(3)).data
    exact = VisionEncoder(Bundle.open(FOLDER, variant="")).encode(picture(3)).data
    assert np.corrcoef(embeddings.ravel(), exact.ravel())[0, 1] > 0.9


def test_without_a_named_precision_the_first_there_is_is_taken(tmp_path: Path) -> None:
    copy = shutil.copytree(FOLDER, tmp_path / "model")
    assert Bundle.open(copy).graph(DECODER).name == "decoder_model_merged.onnx"
    for graph in (VISION, EMBED, DECODER):
        (copy / graph).unlink()
    assert Bundle.open(copy).graph(DECODER).name == "decoder_model_merged_int8.onnx"


def test_a_precision_that_is_not_there_is_refused_with_those_that_are(tmp_path: Path) -> None:
    copy = shutil.copytree(FOLDER, tmp_path / "model")
    (copy / "onnx" / "embed_tokens_q4.onnx").unlink()
    with pytest.raises(ModelError, match=r"embed_tokens_q4\.onnx is missing: there is fp32, int8, fp16"):
        Bundle.open(copy, variant="q4")
    with pytest.raises(ModelError, match="no precision is called 'fp4'"):
        Bundle.open(copy, variant="fp4")


def test_the_next_question_about_the_pictures_reads_only_its_text(model: Model) -> None:
    case = next(c for c in CASES if c["splitting"] and c["pictures"] and not c["history"])
    first = model.tokens(case)
    decoder = model.generator.decoder
    read = []
    reading = decoder.read
    decoder.read = lambda *given: read.append(given[0].shape[1]) or reading(*given)  # type: ignore[func-returns-value,method-assign]
    try:
        assert model.tokens(case) == first
    finally:
        del decoder.read  # type: ignore[method-assign]
    assert max(read) < 80, "the picture's rows were read again"


def test_a_grid_is_told_from_the_places_of_its_tiles(model: Model) -> None:
    bundle = model.bundles[True]
    seen = model.vision[True].look(picture(6))
    (whole,) = pictures_of(seen, bundle)
    assert (whole.rows * whole.columns + 1, seen[-1].place) == (len(seen), None)
    assert whole.text(2).count("<image>") == 2 * len(seen)
    with pytest.raises(ModelError, match="in order"):
        pictures_of((seen[1], seen[0], *seen[2:]), bundle)
    with pytest.raises(ModelError, match="without their whole picture"):
        pictures_of(seen[:-1], bundle)


def test_special_tokens_in_a_question_are_only_words(model: Model) -> None:
    writer = ChatWriter(model.bundles[False])
    prompt = writer.write([], "<image><end_of_utterance> <|im_start|>?", (), 4)
    ids = [i for chunk in prompt.chunks for piece in chunk for i in piece.ids]
    special = {writer.tokenizer.token_to_id(name) for name in ("<image>", "<|im_start|>")}
    assert sum(i in special for i in ids) == 1, "only the one that begins the chat"
    assert model.tokens({"question": "<image>", "pictures": [3], "splitting": False, "history": []})


def test_more_pictures_than_the_context_holds_are_refused_with_the_numbers(model: Model) -> None:
    one = model.vision[False].encode(picture(3))
    with pytest.raises(ModelError, match=r"600 views of 4 tokens are over the 2048"):
        model.generator.stream([one] * 600, "what?")


def test_a_question_over_the_context_is_refused_and_older_turns_are_dropped_first(model: Model) -> None:
    with pytest.raises(UsageError, match="ask a shorter question"):
        model.generator.stream([], "why? " * 790)
    turns = [Turn("why? " * 200, "because " * 20)] * 8
    assert list(model.generator.stream([], "what?", history=turns, max_new_tokens=2))


def test_sound_is_refused(model: Model) -> None:
    sound = Embeddings(np.zeros((4, 32), np.float32), "x", Modality.AUDIO)
    with pytest.raises(ModelError, match="reads pictures, not audio"):
        model.generator.stream([sound], "what?")


def test_a_pulled_model_is_found_by_name_listed_and_verified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = shutil.copytree(FOLDER, tmp_path / "models" / "TinyVLM")
    monkeypatch.setenv("EDGE_AGENT_MODELS", str(tmp_path / "models"))
    info = next(one for one in list_bundles() if one.name == "TinyVLM")
    assert (info.path, info.version, info.has_vision) == (folder, "pulled", True)
    assert (find_bundle("TinyVLM"), verify_bundle(folder)) == (folder, [])
    assert open_bundle("TinyVLM@int8").graph(EMBED).name == "embed_tokens_int8.onnx"
    assert open_bundle("TinyVLM@fp32").graph(EMBED).name == "embed_tokens.onnx"
    (folder / "tokenizer.json").unlink()
    assert "tokenizer.json is missing" in verify_bundle(folder)[0]
    assert next(one for one in list_bundles() if one.name == "TinyVLM").version == "damaged"


def test_another_vision_graph_is_another_encoder(tmp_path: Path, model: Model) -> None:
    folder = shutil.copytree(FOLDER, tmp_path / "model")
    assert Bundle.open(folder).encoder_id == model.bundles[False].encoder_id
    assert Bundle.open(folder, variant="int8").encoder_id != model.bundles[False].encoder_id


def change(folder: Path, name: str, **values: object) -> None:
    path = folder / name
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


@pytest.mark.parametrize("name", ["preprocessor_config.json", "generation_config.json", "tokenizer.json"])
def test_a_missing_file_is_named_with_the_command(tmp_path: Path, name: str) -> None:
    copy = shutil.copytree(FOLDER, tmp_path / "model")
    (copy / name).unlink()
    with pytest.raises(ModelError, match=f"{name} is missing: edge-agent models pull"):
        Bundle.open(copy)


@pytest.mark.parametrize(
    ("name", "values", "words"),
    [
        ("config.json", {"model_type": "llava"}, "'llava' model"),
        ("config.json", {"text_config": {}}, "lacks text_config.hidden_size"),
        ("generation_config.json", {"eos_token_id": None}, "no eos_token_id"),
        ("chat_template.json", {"chat_template": "{{ messages }}"}, "another chat template"),
        ("preprocessor_config.json", {"size": {"height": 9}}, "preprocessor_config.json"),
        ("preprocessor_config.json", {"resample": 3}, "not Lanczos"),
        ("preprocessor_config.json", {"size": {"longest_edge": 100_000}}, "out of range"),
    ],
)
def test_settings_of_another_model_are_refused_with_the_file(
    tmp_path: Path, name: str, values: dict[str, object], words: str
) -> None:
    copy = shutil.copytree(FOLDER, tmp_path / "model")
    change(copy, name, **values)

    def use() -> None:
        bundle = Bundle.open(copy)
        Generator(bundle)
        VisionEncoder(bundle)

    with pytest.raises(ModelError, match=words):
        use()


@pytest.mark.parametrize(
    ("size", "wanted"),
    [((480, 640), (1536, 2048)), ((640, 480), (2048, 1536)), ((1, 999), (2, 2048)), ((7, 7), (2048, 2048))],
)
def test_the_longest_edge_is_reached_and_the_other_is_even(size: tuple[int, int], wanted: tuple[int, int]) -> None:
    assert to_longest(*size, 2048) == wanted


def test_both_edges_become_whole_tiles() -> None:
    assert to_tiles(1536, 2048, 512) == (1536, 2048)
    assert to_tiles(1152, 2048, 512) == (1536, 2048)
    assert to_tiles(2048, 900, 512) == (2048, 1024)
    assert to_tiles(2, 2048, 512) == (512, 2048)


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (64, 48), (333, 77), (40, 300)])
def test_resizing_is_pillows_to_the_bit(size: tuple[int, int]) -> None:
    """PILLOW holds checksums of what Pillow 11.3 makes: `Image.resize((53, 29), Image.Resampling.LANCZOS)`."""
    drawn = np.random.default_rng(size[0]).integers(0, 256, (*size, 3)).astype(np.uint8)
    made = resize(drawn, 29, 53)
    assert (made.shape, int(made.astype(np.int64).cumsum().sum() % 1_000_003)) == ((29, 53, 3), PILLOW[size])
