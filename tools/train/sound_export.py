"""Writes the audio encoder as ONNX, checks it against torch, and stores the tokens that the decoders learn from.

    python -m tools.train.sound_export --copies 24

`sound/` gets `audio_encoder.onnx`, `tokens.npy` [1 + copies, clips, 7, 192] float16 (row 0: the clips as they are) and
`clips.jsonl`, a line a clip: name, label (name of its class), split ("train" or "held_out").
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper

from edge_agent.types import F32
from edge_agent.vlm.session import open_session
from tools.train.backbone import round_to_int8
from tools.train.graphs import OPSET, pack_int8
from tools.train.settings import Paths, default_paths
from tools.train.sound_clips import CLASSES, EVENTS, HELD_OUT_FOLD, SAMPLES, Clip, noise
from tools.train.sound_features import all_clips
from tools.train.sound_model import AUDIO_TOKENS, HIDDEN, Ears, Head, Trunk

TOLERANCE = 1e-4


def load_ears(paths: Paths) -> Ears:
    """The trained ears, tuned if they were, with every large matrix rounded to int8, as they are shipped."""
    head = Head()
    files = [paths.work / "sound" / name for name in ("head-tuned.pt", "head.pt")]
    head.load_state_dict(torch.load(next(file for file in files if file.exists()), weights_only=True))
    for layer in (head.frame, head.clip_token, head.time_token):
        layer.weight.data = round_to_int8(layer.weight.data)
    ears = Ears(Trunk(), head)
    ears.eval()
    return ears


def export(ears: Ears, path: Path) -> None:
    """samples [b, 80000] float32 to audio_features [b, 7, 192] float32, large weights as int8."""
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.onnx.export(
        ears,
        (torch.zeros(1, SAMPLES),),
        str(path),
        input_names=["samples"],
        output_names=["audio_features"],
        dynamic_axes={"samples": {0: "b"}, "audio_features": {0: "b"}},
        opset_version=OPSET,
        dynamo=False,
    )
    model = onnx.load(str(path))
    pack_int8(model)
    pack_half(model)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))


def pack_half(model: onnx.ModelProto) -> int:
    """Replaces every large constant whose values are all float16 numbers by float16 and a Cast; returns how many."""
    nodes, count = [], 0
    for node in model.graph.node:
        values = numpy_helper.to_array(node.attribute[0].t) if node.op_type == "Constant" else np.zeros(0)
        if values.size < 4096 or values.dtype != np.float32 or (values != values.astype(np.float16)).any():
            nodes.append(node)
            continue
        name = node.output[0]
        model.graph.initializer.append(numpy_helper.from_array(values.astype(np.float16), name + "_half"))
        nodes.append(helper.make_node("Cast", [name + "_half"], [name], to=onnx.TensorProto.FLOAT))
        count += 1
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return count


def checked(ears: Ears, path: Path, clips: list[Clip]) -> dict[str, float]:
    """Runs the file as it will be run: its largest difference to torch on 40 clips, and how many events it names."""
    session, right, difference = open_session(path, 1), [], 0.0
    held_out = [clip for clip in clips if clip.fold == HELD_OUT_FOLD and clip.label < EVENTS]
    for i, clip in enumerate([*clips[::10], *held_out]):
        (made,) = session.run(["audio_features"], {"samples": clip.samples[None]})
        if i < len(clips[::10]):
            with torch.no_grad():
                wanted = ears(torch.from_numpy(clip.samples[None])).numpy()
            difference = max(difference, float(np.abs(made - wanted).max()))
        else:
            right.append(int((ears.head.names.numpy() @ made[0, 0]).argmax()) == clip.label)
    return {
        "bytes": path.stat().st_size,
        "difference_to_torch": difference,
        "held_out_clips": len(right),
        "held_out_accuracy": round(100 * float(np.mean(right)), 1),
    }


def heard_otherwise(samples: F32, rng: np.random.Generator) -> F32:
    """[80000] float32: turned in time, louder or softer, half of the time with noise under it."""
    made = np.roll(samples, int(rng.integers(SAMPLES)))
    if rng.random() < 0.5:
        below = 10 ** (-rng.uniform(10, 40) / 20)
        made = made + noise(float(rng.uniform(-0.5, 2.2)), rng) * float(np.sqrt((made**2).mean())) * below
    heard: F32 = np.clip(made * 10 ** (rng.uniform(-12, 6) / 20), -1, 1).astype(np.float32)
    return heard


def store(path: Path, clips: list[Clip], copies: int) -> None:
    """The tokens that the exported graph makes, beside it."""
    session, rng = open_session(path, 1), np.random.default_rng(0)
    made = np.zeros((1 + copies, len(clips), AUDIO_TOKENS, HIDDEN), np.float16)
    for copy in range(1 + copies):
        for i, clip in enumerate(clips):
            samples = clip.samples if copy == 0 else heard_otherwise(clip.samples, rng)
            made[copy, i] = session.run(["audio_features"], {"samples": samples[None]})[0][0]
    np.save(path.parent / "tokens.npy", made)
    with (path.parent / "clips.jsonl").open("w") as file:
        for clip in clips:
            split = "held_out" if clip.fold == HELD_OUT_FOLD else "train"
            file.write(json.dumps({"name": clip.name, "label": CLASSES[clip.label], "split": split}) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--copies", type=int, default=24)
    copies = parser.parse_args().copies
    torch.set_num_threads(1)
    paths = default_paths()
    ears, clips, path = load_ears(paths), all_clips(paths.data), paths.work / "sound" / "audio_encoder.onnx"
    export(ears, path)
    found = checked(ears, path, clips)
    print(json.dumps({"file": str(path)} | found))
    if found["difference_to_torch"] > TOLERANCE:
        raise SystemExit(f"ONNX Runtime and torch differ by more than {TOLERANCE}")
    store(path, clips, copies)


if __name__ == "__main__":
    main()
