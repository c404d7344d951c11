"""Listens to a stream of sound: says when speech begins, waits for a wake word, cuts out the question after it."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from edge_agent.types import F32, AudioWindow
from edge_agent.voice.activity import RATE_HZ
from edge_agent.voice.gate import Edge, SpeechGate, SpeechRules

REST_S = 2.0  # after a wake word, so long no other is heard: the network stays excited
PATIENCE_S = 3.0  # so long after it nobody needs to have begun to speak
TAIL_S = 0.4  # so long after it the word itself may still be sounding
LEAD_S = 0.3  # what a question begins with: speech is noticed late


class Stream(Protocol):
    """SpeechActivity and WakeWord."""

    def feed(self, samples: F32) -> list[float]: ...

    def reset(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Heard:
    """What came up in a chunk. `speech`: somebody began to speak, with this probability. `woken`: the wake word was
    said, with this probability. `question`: what was said after it, to its end.
    """

    speech: float | None = None
    woken: float | None = None
    question: AudioWindow | None = None


class Ear:
    """One microphone's. Synchronous, some milliseconds a chunk; one thread at a time.

    A question ends with a pause of `rules.silence_s`, or after `longest_s`; nobody who begins within PATIENCE_S: none.
    Without a `wake` word, or with a `longest_s` of 0, there are no questions.
    """

    def __init__(
        self,
        speech: Stream,
        rules: SpeechRules,
        wake: Stream | None = None,
        wake_threshold: float = 0.5,
        longest_s: float = 10.0,
    ) -> None:
        self._speech, self._wake = speech, wake
        self._gate = SpeechGate(rules)
        self._threshold = wake_threshold
        self._longest = int(longest_s * RATE_HZ)
        self._lead: deque[AudioWindow] = deque()
        self._recorded: list[AudioWindow] | None = None
        self._rest_until, self._tail_until = 0, 0
        self._spoken = False
        self._at = 0  # samples so far

    def hear(self, window: AudioWindow) -> Heard:
        """The next chunk, mono float32 at 16 kHz. Sound of another rate is not listened to."""
        if window.rate_hz != RATE_HZ:
            return Heard()
        self._at += len(window.samples)
        edges, speech = [], None
        for probability in self._speech.feed(window.samples):
            if self._at < self._tail_until:
                continue
            edge = self._gate.take(probability)
            edges.append(edge)
            speech = probability if edge is Edge.BEGAN else speech
        if self._recorded is not None:
            return Heard(speech, None, self._recording(window, Edge.ENDED in edges))
        self._keep_lead(window)
        return Heard(speech, self._woken(window))

    def _woken(self, window: AudioWindow) -> float | None:
        if self._wake is None:
            return None
        probability = max(self._wake.feed(window.samples), default=0.0)
        if probability < self._threshold or self._at < self._rest_until:
            return None
        self._rest_until = self._at + int(REST_S * RATE_HZ)
        if self._longest > 0:
            self._recorded, self._spoken = list(self._lead), False
            self._tail_until = self._at + int(TAIL_S * RATE_HZ)
            self._gate.reset()  # the wake word itself is no part of the question
        return probability

    def _recording(self, window: AudioWindow, ended: bool) -> AudioWindow | None:
        """One more chunk of a question; the whole of it when it is over."""
        assert self._recorded is not None
        self._recorded.append(window)
        length = sum(len(one.samples) for one in self._recorded)
        self._spoken = self._spoken or self._gate.speaking or ended
        nobody = not self._spoken and length >= (PATIENCE_S + LEAD_S) * RATE_HZ
        if not (ended or nobody or length >= self._longest):
            return None
        recorded, self._recorded = self._recorded, None
        self._lead.clear()
        if self._wake is not None:
            self._wake.reset()
        if not self._spoken:
            return None
        samples = np.concatenate([one.samples for one in recorded])[: self._longest]
        return AudioWindow(samples, RATE_HZ, recorded[0].start_s)

    def _keep_lead(self, window: AudioWindow) -> None:
        self._lead.append(window)
        while sum(one.duration_s for one in self._lead) - self._lead[0].duration_s >= LEAD_S:
            self._lead.popleft()

    @property
    def recording(self) -> bool:
        """Whether a question is being listened to."""
        return self._recorded is not None
