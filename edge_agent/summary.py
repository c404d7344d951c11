"""What policies weigh, summed up once when a question is described, so that a decision only reads numbers."""

from __future__ import annotations

import re

import numpy as np

from edge_agent.types import F32, EmptyTiles, ImageFeatures, ModalityFeatures, SoundFeatures, SoundSummary, TextFeatures

ONSET_SHARE_OF_PEAK = 0.1


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z]+", text.lower())


SOUND_WORDS = frozenset(
    _words(
        "hear heard hearing listen listening sound sounds sounded noise noises noisy loud quiet bark barking music "
        "voice voices talking speaking say said ring ringing alarm audio"
    )
)
SIGHT_WORDS = frozenset(
    _words(
        "see seen look looks looking picture image photo colour color colored many where left right behind front under "
        "above table wall wearing show shown visible object shape"
    )
)


def text_features(question: str) -> TextFeatures:
    """Counts of a question's words; entities are numbers and names (words with a capital, but for the first)."""
    words = re.findall(r"\w+", question)
    entities = sum(w[0].isdigit() or w[0].isupper() for w in words[1:]) + bool(words and words[0][0].isdigit())
    lower = _words(question)
    return TextFeatures(
        words=len(words),
        entities=entities,
        sight_words=sum(w in SIGHT_WORDS for w in lower),
        sound_words=sum(w in SOUND_WORDS for w in lower),
    )


def empty_tiles(tile_entropy_bits: F32, below_bits: float) -> EmptyTiles:
    """Of a map [rows, cols]: how many tiles are below; a share of 0 where there is no tile."""
    size = tile_entropy_bits.size
    below = int(np.count_nonzero(tile_entropy_bits < below_bits))
    return EmptyTiles(below_bits, below / size if size else 0.0)


def sound_summary(sound: SoundFeatures, quiet_energy: float) -> SoundSummary:
    """Of all frames of a sound; all 0 without any. A frame is an onset if its flux reaches a tenth of the largest:
    relative, so that gain does not matter.
    """
    frames = len(sound.energy)
    if frames == 0:
        return SoundSummary(quiet_energy, 0.0, 0.0, 0.0)
    active = sound.energy >= quiet_energy
    count = int(np.count_nonzero(active))
    peak = float(sound.flux.max())
    onsets = int(np.count_nonzero(sound.flux >= ONSET_SHARE_OF_PEAK * peak)) if peak > 0 else 0
    entropy = float(sound.spectral_entropy[active].mean()) if count else 0.0
    return SoundSummary(quiet_energy, 1.0 - count / frames, onsets / frames, entropy)


def text_of(features: ModalityFeatures) -> TextFeatures:
    """As it was summed up, or now."""
    return text_features(features.question) if features.text is None else features.text


def empty_share_of(image: ImageFeatures, below_bits: float) -> float:
    """Share 0..1 of the picture's tiles below `below_bits`, as it was summed up, or now."""
    known = image.empty
    if known is None or known.below_bits != below_bits:
        known = empty_tiles(image.tile_entropy_bits, below_bits)
    return known.share


def sound_of(sound: SoundFeatures, quiet_energy: float) -> SoundSummary:
    """As it was summed up for that `quiet_energy`, or now."""
    known = sound.summary
    return known if known is not None and known.quiet_energy == quiet_energy else sound_summary(sound, quiet_energy)
