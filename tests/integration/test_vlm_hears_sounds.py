"""The shipped pair names sounds that neither it nor its ears were trained on."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_agent.cli.bench.codec_sounds import HEARD
from edge_agent.types import AudioWindow
from edge_agent.vlm import AudioEncoder, Bundle, Generator, find_bundle


def read(path: Path) -> AudioWindow:
    import av
    import numpy as np

    with av.open(str(path)) as container:
        pieces = [frame.to_ndarray().mean(axis=0) for frame in container.decode(audio=0)]
        rate = container.streams.audio[0].rate
    return AudioWindow(np.concatenate(pieces).astype(np.float32), rate)


@pytest.mark.parametrize("name", ["edge-vqa", "cloud-vqa"])
def test_clips_of_the_fold_kept_out_get_their_names(name: str, data_dir: Path) -> None:
    if not (data_dir / "esc10").is_dir():
        pytest.skip("EDGE_AGENT_DATA has no esc10")
    ears, tongue = AudioEncoder(Bundle.open(find_bundle("edge-vqa"))), Generator(Bundle.open(find_bundle(name)))
    right = []
    for path in sorted((data_dir / "esc10").glob("*/5-*.ogg")):
        said = "".join(event.text for event in tongue.stream([ears.encode(read(path))], "what do you hear?"))
        right.append(said.strip() == HEARD[path.parent.name])
    assert len(right) >= 60
    assert sum(right) / len(right) >= 0.7, f"{sum(right)} of {len(right)}"
