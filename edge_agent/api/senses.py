"""What the device sees and hears at this moment, for questions that are about it."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field

from edge_agent.api.refusals import Refusal
from edge_agent.clock import Clock
from edge_agent.look_back import LookBack
from edge_agent.types import AudioWindow, Frame, ImageFeatures, MotionFeatures, Observation, SoundFeatures

LEVELS = 200  # chunks of sound whose level is kept: 20 seconds of a microphone
SILENCE = 1e-9  # mean square, -90 dB: what is drawn as nothing
STALE_S = 10.0  # what is older is not "now"
NEXT_S, POLL_S = 1.0, 0.02  # how long a question waits for a picture where the last ones were forgotten


@dataclass(slots=True)
class Senses:
    """Filled by the watcher. `image`, `motion` and `sound` are the features of what came last."""

    clock: Clock
    watching: bool = False
    listening: bool = False
    look_back: LookBack = field(default_factory=LookBack)
    frame: Frame | None = None
    image: ImageFeatures | None = None
    motion: MotionFeatures | None = None
    sound: SoundFeatures | None = None
    frames: int = 0
    forgotten: int = 0
    forgotten_s: float = -math.inf
    seen_s: float | None = None
    heard_s: float | None = None
    levels_db: deque[float] = field(default_factory=lambda: deque(maxlen=LEVELS))

    def saw(self, frame: Frame, image: ImageFeatures, motion: MotionFeatures) -> None:
        """A frame came, with its features."""
        self.frame, self.image, self.motion = frame, image, motion
        self.frames += 1
        self.seen_s = self.clock.monotonic_s()

    def forget(self) -> None:
        """Nothing that was seen until now may be looked at any more."""
        self.look_back.clear()
        self.frame = self.seen_s = None
        self.forgotten += 1
        self.forgotten_s = self.clock.monotonic_s()

    async def look_again(self) -> None:
        """Where what was seen had just to be forgotten (a mask was drawn), returns with the next picture, or NEXT_S
        after that: a question of that moment is not one about nothing; no later one waits for a camera that is gone.
        """
        until_s = self.forgotten_s + NEXT_S
        while self.watching and self.seen_s is None and self.clock.monotonic_s() < until_s:
            await self.clock.sleep(POLL_S)

    def heard(self, window: AudioWindow, sound: SoundFeatures) -> None:
        """A chunk of sound came, with its features."""
        self.sound = sound
        energy = float(sound.energy.mean()) if len(sound.energy) else 0.0
        self.levels_db.append(round(10 * math.log10(max(energy, SILENCE)), 1))
        self.heard_s = self.clock.monotonic_s()

    @property
    def frame_age_s(self) -> float | None:
        """Seconds since the last frame; None before the first."""
        return None if self.seen_s is None else self.clock.monotonic_s() - self.seen_s

    def now(self, camera: bool, microphone: bool) -> tuple[tuple[Frame, ...], AudioWindow | None]:
        """The last frames and seconds of sound, of what is asked for. Raises Refusal where there is none of now."""
        if camera and not self.watching:
            raise Refusal(400, "there is no camera here", "start the agent with --camera URI", code="no_camera")
        if microphone and not self.listening:
            raise Refusal(400, "there is no microphone here", "start the agent with --mic", code="no_microphone")
        if camera:
            self._fresh(self.seen_s, "camera gave no picture")
        if microphone:
            self._fresh(self.heard_s, "microphone gave no sound")
        return self.look_back.frames() if camera else (), self.look_back.window() if microphone else None

    def moment(self, question: str, private: bool, source: str) -> Observation | None:
        """Everything of now; None where nothing is watched, or nothing came lately."""
        age_s = self.frame_age_s
        if not self.watching or age_s is None or age_s > STALE_S:
            return None
        return self.look_back.observe(question, private, source)

    def _fresh(self, at_s: float | None, words: str) -> None:
        if at_s is None or self.clock.monotonic_s() - at_s > STALE_S:
            raise Refusal(503, f"the {words} for {STALE_S:g} s", "see /readyz", code="no_signal", retry_after_s=5)
