"""What each codec makes of sounds: bytes, and what the shipped cloud decoder then says that it hears."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np

from edge_agent.cli.bench.machine import machine
from edge_agent.transport.codecs import CODECS, Codec, decode_tensor
from edge_agent.transport.limits import Limits
from edge_agent.transport.projected import projected_codecs
from edge_agent.transport.shipped import register_shipped
from edge_agent.types import Embeddings

SOUND = "sound"
QUESTION = "what do you hear?"
KEPT_OUT = "esc10/*/5-*.ogg"  # the fold that neither ears nor decoders nor basis have learned from
HEARD = {
    "baby_cry": "baby crying",
    "chainsaw": "chainsaw",
    "clock_tick": "clock ticking",
    "dog_bark": "dog barking",
    "fire_crackling": "fire crackling",
    "helicopter": "helicopter",
    "person_sneeze": "sneeze",
    "rain": "rain",
    "rooster": "rooster",
    "sea_waves": "waves",
}


def sound_rows(data: Path | None) -> Iterator[dict[str, Any]]:
    """One row a codec and quality; none where the folder has no such clips. Raises ModelError, InputError."""
    from edge_agent.sources.sound import load_sound
    from edge_agent.vlm import AudioEncoder, Bundle, Generator, find_bundle

    clips = [] if data is None else sorted(data.glob(KEPT_OUT))
    if not clips:
        return
    bundle = Bundle.open(find_bundle("edge-vqa"))
    register_shipped(bundle.codec_files)
    ears, tongue = AudioEncoder(bundle), Generator(Bundle.open(find_bundle("cloud-vqa")))
    sounds = [ears.encode(load_sound(path)) for path in clips]
    truth = [HEARD[path.parent.name] for path in clips]

    def said(heard: Embeddings) -> str:
        return "".join(token.text for token in tongue.stream([heard], QUESTION)).strip()

    exact, limits = [said(one) for one in sounds], Limits()
    common = {"questions": len(clips), "size": "x".join(map(str, sounds[0].data.shape)), "input": "esc10"}
    for name, codec in _subjects(bundle.audio_encoder_id).items():
        coded = [codec.encode(one) for one in sounds]
        given = [said(decode_tensor(one, limits)) for one in coded]
        yield {
            "bench": "codec",
            "case": SOUND,
            "codec": name,
            "bytes_mean": float(np.mean([len(one.payload) for one in coded])),
            "accuracy": float(np.mean([a == b for a, b in zip(given, truth, strict=True)])),
            "changed_pct": 100 * float(np.mean([a != b for a, b in zip(given, exact, strict=True)])),
            **common,
            "machine": machine(),
        }


def say_sound(row: dict[str, Any]) -> None:
    """One row for people."""
    told = f"accuracy {row['accuracy']:.3f}, {row['changed_pct']:.1f} % changed"
    click.echo(f"{row['codec']:<14} sound of {row['size']}: {row['bytes_mean']:.0f} bytes; {told}")


def _subjects(encoder_id: str) -> dict[str, Codec]:
    plain = {name: codec for name, codec in CODECS.items() if codec.view_tokens is None}  # nothing learned of pictures
    bases = projected_codecs(encoder_id)
    return plain | {f"projected/{n}": codec.at(n) for codec in bases for n in range(len(codec.basis.levels))}
