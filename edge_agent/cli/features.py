"""`edge-agent features`: what the kernels see in a photo, clip or sound, a row a frame and a row a chunk of sound."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import click

from edge_agent.cli.inputs import inputs_of_file
from edge_agent.cli.options import config_option, json_option
from edge_agent.cli.output import emit
from edge_agent.cli.paths import FILE
from edge_agent.cli.running import run
from edge_agent.config import load
from edge_agent.parts import Extractor
from edge_agent.types import AudioWindow, Frame, ImageFeatures, MotionFeatures, SoundFeatures

CHUNK_S = 0.1


@click.command()
@click.argument("file", type=FILE)
@click.option("--tiles", is_flag=True, help="With --json: the maps of entropy and difference per tile, too.")
@config_option
@json_option
def command(file: Path, tiles: bool, config_path: Path | None, as_json: bool) -> None:
    """Entropy, edges, motion and sound statistics of FILE."""
    from edge_agent.cli.build import extractor_factory

    extractor = extractor_factory(load(config_path).config)()
    run(_rows(file, extractor, tiles, as_json))


async def _rows(file: Path, extractor: Extractor, tiles: bool, as_json: bool) -> None:
    async for item in _items(file):
        if isinstance(item, Frame):
            row = _frame_row(item, *extractor.vision(item.pixels), tiles)
        else:
            row = _chunk_row(item, extractor.sound(item.samples, item.rate_hz))
        if as_json:
            emit(row)
        else:
            click.echo("  ".join(_cell(key, value) for key, value in row.items()))


async def _items(file: Path) -> AsyncIterator[Frame | AudioWindow]:
    inputs = inputs_of_file(file)
    if inputs.image is not None:
        from edge_agent.sources.photo import load_photo

        yield await asyncio.to_thread(load_photo, inputs.image)
    elif inputs.audio is not None:
        from edge_agent.sources.sound import load_sound

        sound = await asyncio.to_thread(load_sound, inputs.audio)
        step = max(1, int(sound.rate_hz * CHUNK_S))
        for at in range(0, len(sound.samples), step):
            yield AudioWindow(sound.samples[at : at + step], sound.rate_hz, sound.start_s + at / sound.rate_hz)
    else:
        from edge_agent.sources.clip import ClipSource

        source = ClipSource(file)
        await source.open()
        try:
            async for item in source:
                yield item
        finally:
            await source.close()


def _frame_row(frame: Frame, image: ImageFeatures, motion: MotionFeatures, tiles: bool) -> dict[str, Any]:
    row: dict[str, Any] = {
        "type": "frame",
        "index": frame.index,
        "time_s": frame.timestamp_s,
        "width": image.width,
        "height": image.height,
        "entropy_bits": image.entropy_bits,
        "edge_density": image.edge_density,
        "laplacian_variance": image.laplacian_variance,
        "mean_abs_diff": motion.mean_abs_diff,
        "changed_share": motion.changed_share,
        "motion_valid": motion.valid,
    }
    if tiles:
        row["tile_entropy_bits"] = image.tile_entropy_bits
        row["tile_mean_abs_diff"] = motion.tile_mean_abs_diff
    return row


def _chunk_row(window: AudioWindow, sound: SoundFeatures) -> dict[str, Any]:
    def mean(values: Any) -> float | None:
        return float(values.mean()) if len(values) else None

    return {
        "type": "sound",
        "time_s": window.start_s,
        "duration_s": window.duration_s,
        "stft_frames": len(sound.flux),
        "flux_max": float(sound.flux.max()) if len(sound.flux) else None,
        "flux_mean": mean(sound.flux),
        "spectral_entropy": mean(sound.spectral_entropy),
        "flatness": mean(sound.flatness),
        "energy": mean(sound.energy),
        "zero_crossing_rate": mean(sound.zero_crossing_rate),
    }


def _cell(key: str, value: Any) -> str:
    if key == "type":
        return f"{value:<5}"
    return f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}"
