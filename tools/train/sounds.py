"""The embeddings of sounds that the decoders are taught to name, and the questions about them.

The folder `sound` under the work folder holds tokens.npy ([1 + copies, clips, A, hidden] float16: every clip as it is,
then changed copies) and clips.jsonl (a row a clip: {"label": ..., "split": "train" or "held_out"}), as
`tools.train.sound_export` writes them. Without it nothing is asked.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tools.train.crops import View
from tools.train.settings import Paths
from tools.train.views import read_jsonl

Asked = tuple[str, str, str]
_HEAR = (
    "what do you hear?",
    "what do i hear?",
    "what is this sound?",
    "what sound is this?",
    "what sound is that?",
    "what can you hear?",
)
_PRESENT = ("do you hear {a}?", "can you hear {a}?", "is there {a}?")
NOTHING = "nothing"
HEARD = {
    "baby_cry": ("baby crying", "a baby crying"),
    "chainsaw": ("chainsaw", "a chainsaw"),
    "clock_tick": ("clock ticking", "a clock ticking"),
    "dog_bark": ("dog barking", "a dog barking"),
    "fire_crackling": ("fire crackling", "a fire crackling"),
    "helicopter": ("helicopter", "a helicopter"),
    "person_sneeze": ("sneeze", "a sneeze"),
    "rain": ("rain", "rain"),
    "rooster": ("rooster", "a rooster"),
    "sea_waves": ("waves", "waves"),
    "speech": ("speech", "speech"),
    "silence": (NOTHING, "nothing"),
}
"""Label of a clip to the answer and to how a question speaks of it."""
SEEN = {"dog_bark": "dog", "rooster": "bird", "person_sneeze": "person", "speech": "person", "clock_tick": "clock"}
"""What makes a sound may be in the picture too: the COCO label that is asked about."""
NOISE = 0.4
NAME_DROP, TOKEN_DROP = 0.2, 0.15
MOST_TOKENS = 16


@dataclass(slots=True)
class Sounds:
    """`tokens` [1 + copies, clips, A, hidden]; `labels` of the clips; `rows` the clips of each split."""

    tokens: NDArray[np.float16]
    labels: list[str]
    rows: dict[str, list[int]]

    @classmethod
    def load(cls, paths: Paths, hidden: int) -> Sounds:
        if not (paths.sounds / "tokens.npy").exists():
            return cls(np.zeros((1, 0, 0, hidden), dtype=np.float16), [], {"train": []})
        tokens = np.load(paths.sounds / "tokens.npy", mmap_mode="r")
        clips = read_jsonl(paths.sounds / "clips.jsonl")
        assert tokens.shape[1] == len(clips)
        assert tokens.shape[2] <= MOST_TOKENS
        assert tokens.shape[3] == hidden
        rows: dict[str, list[int]] = {"train": []}
        for i, clip in enumerate(clips):
            rows.setdefault(clip["split"], []).append(i)
        return cls(tokens, [str(clip["label"]) for clip in clips], rows)

    def pick(self, rng: random.Random) -> int:
        """A clip for training; every label as often."""
        label = rng.choice(sorted({self.labels[i] for i in self.rows["train"]}))
        return rng.choice([i for i in self.rows["train"] if self.labels[i] == label])

    def draw(self, clip: int | None, rng: random.Random) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """[A, hidden] of any copy of `clip` with noise, and which of the tokens are there; none for no clip."""
        size, hidden = self.tokens.shape[2:]
        if clip is None:
            return np.zeros((size, hidden), dtype=np.float32), np.zeros(size, dtype=np.bool_)
        noise = np.random.default_rng(rng.getrandbits(32))
        made = self.tokens[rng.randrange(len(self.tokens)), clip].astype(np.float32)
        made += noise.normal(0, NOISE, made.shape).astype(np.float32)
        seen: NDArray[np.bool_] = np.asarray(noise.random(size) > TOKEN_DROP)
        seen[0] = noise.random() > NAME_DROP
        return made, seen

    def ask(self, clip: int | None, view: View | None, rng: random.Random) -> list[Asked]:
        """Questions about a clip, or about silence if it is None, with the picture `view` beside it."""
        label = "silence" if clip is None else self.labels[clip]
        made: list[Asked] = [(rng.choice(_HEAR), HEARD[label][0], "sound")]
        others = [name for name in HEARD if name not in (label, "silence")]
        made.append((rng.choice(_PRESENT[:2]).format(a=HEARD[rng.choice(others)][1]), "no", "heard"))
        if label != "silence":
            made.append((rng.choice(_PRESENT[:2]).format(a=HEARD[label][1]), "yes", "heard"))
        if rng.random() < 0.5:
            text = rng.choice(("is anyone speaking?", "does someone talk?", "do you hear a voice?"))
            made.append((text, "yes" if label == "speech" else "no", "heard"))
        elif rng.random() < 0.5:
            made.append(("is it quiet?", "yes" if label == "silence" else "no", "heard"))
        if view is not None and view["source"] not in ("shapes", "imagenet") and not view["unsure"]:
            made += self._either(label, {thing["label"] for thing in view["objects"]}, rng)
        return made

    def _either(self, label: str, seen: set[str], rng: random.Random) -> list[Asked]:
        """Whether something is seen or heard."""
        kind = rng.choice(sorted(set(SEEN.values()))) if SEEN.get(label) is None or rng.random() < 0.5 else SEEN[label]
        there = kind in seen or SEEN.get(label) == kind
        return [(f"do you see or hear a {kind}?", "yes" if there else "no", "either")]
