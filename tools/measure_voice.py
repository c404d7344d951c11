"""Measures how well speech is told from other sound: of recorded speech, of other sounds, and of both at once.

usage: python -m tools.measure_voice --data DIR [--seconds 45]      one JSON object a line
Second by second: a second of the speech recordings counts as speech where it is loud enough, all seconds of the other
sounds as none. By trigger: how often speech would have begun in each class of sound.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from edge_agent.sources.sound import load_sound
from edge_agent.store import side_models
from edge_agent.types import F32
from edge_agent.voice import SpeechActivity, SpeechGate, SpeechRules
from edge_agent.voice.activity import RATE_HZ, WINDOW
from edge_agent.voice.gate import Edge

SPEECH = ("clips/beckett.wav", "clips/two_cities.wav")
CHIME = "clips/success.wav"
LOUD = 10 ** (-35 / 10)  # mean square, of the loudest second: what is quieter is a pause
SNRS_DB = (10.0, 0.0, -5.0, -10.0)
PER_S = RATE_HZ // WINDOW


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", type=Path, required=True, help="folder with clips/ and esc10/, as EDGE_AGENT_DATA")
    parser.add_argument("--seconds", type=float, default=45.0, help="of each speech recording at most")
    parser.add_argument("--threshold", type=float, default=0.5)
    options = parser.parse_args()
    network = SpeechActivity(side_models.find(side_models.SPEECH) / side_models.SPEECH.files[0].name)
    rules = SpeechRules(threshold=options.threshold)
    speech = [load_sound(options.data / name, options.seconds).samples for name in SPEECH]
    others = dict(_others(options.data))
    for row in measured(network, rules, speech, others):
        print(json.dumps(row))


def measured(
    network: SpeechActivity, rules: SpeechRules, speech: list[F32], others: dict[str, list[F32]]
) -> Iterator[dict[str, object]]:
    """One row for clean speech beside other sounds, one a class of sound, one a loudness of noise over speech."""
    clean = [(second, is_loud) for one in speech for second, is_loud in _seconds(network, one, rules)]
    said = [spoken for spoken, is_loud in clean if is_loud]
    false, total, fired = 0, 0, Counter[str]()
    for name, sounds in others.items():
        for one in sounds:
            seconds = [spoken for spoken, _ in _seconds(network, one, rules)]
            false, total = false + sum(seconds), total + len(seconds)
            fired[name] += _begins(network, one, rules) > 0
        yield {"case": "sound", "class": name, "clips": len(sounds), "speech_triggers": fired[name]}
    hits = sum(said)
    yield {
        "case": "seconds",
        "speech_seconds": len(said),
        "other_seconds": total,
        "recall": round(hits / len(said), 4),
        "precision": round(hits / max(1, hits + false), 4),
        "false_seconds": false,
        "clips_with_trigger": sum(fired.values()),
        "clips": sum(map(len, others.values())),
    }
    noise = np.concatenate([sounds[0] for sounds in others.values()])
    for snr_db in SNRS_DB:
        mixed = [_mixed(one, noise, snr_db) for one in speech]
        loud = [is_loud for one in speech for _, is_loud in _seconds(network, one, rules)]
        heard = [spoken for one in mixed for spoken, _ in _seconds(network, one, rules)]
        said = [spoken for spoken, is_loud in zip(heard, loud, strict=True) if is_loud]
        yield {"case": "speech over the sounds", "snr_db": snr_db, "recall": round(sum(said) / len(said), 4)}


def _others(data: Path) -> Iterator[tuple[str, list[F32]]]:
    """Sounds that nobody speaks in, by class: the folder's name, or the last part of the file's."""
    classes: dict[str, list[F32]] = {"chime": [load_sound(data / CHIME).samples]}
    for path in sorted((data / "esc10").rglob("*.ogg")):
        name = path.parent.name if path.parent.name != "esc10" else path.stem.rpartition("-")[2]
        classes.setdefault(name, []).append(load_sound(path).samples)
    yield from classes.items()


def _seconds(network: SpeechActivity, samples: F32, rules: SpeechRules) -> list[tuple[bool, bool]]:
    """Of each whole second: whether a quarter of it was taken for speech, and whether it is loud."""
    network.reset()
    probabilities = np.array(network.feed(samples))
    count = len(samples) // RATE_HZ
    power = (samples[: count * RATE_HZ].reshape(count, RATE_HZ) ** 2).mean(axis=1)
    loud = power >= LOUD * max(float(power.max(initial=0.0)), 1e-12)
    spoken = [
        bool((probabilities[at * PER_S : (at + 1) * PER_S] >= rules.threshold).mean() >= 0.25) for at in range(count)
    ]
    return list(zip(spoken, map(bool, loud), strict=True))


def _begins(network: SpeechActivity, samples: F32, rules: SpeechRules) -> int:
    network.reset()
    gate = SpeechGate(rules)
    return sum(gate.take(one) is Edge.BEGAN for one in network.feed(samples))


def _mixed(speech: F32, noise: F32, snr_db: float) -> F32:
    """Speech with noise under it, both at the loudness that they have on the whole."""
    under = np.resize(noise, len(speech))
    gain = np.sqrt((speech**2).mean() / max(float((under**2).mean()), 1e-12) / 10 ** (snr_db / 10))
    mixed: F32 = np.clip(speech + np.float32(gain) * under, -1, 1).astype(np.float32)
    return mixed


if __name__ == "__main__":
    main()
