"""What is made of speech: that somebody speaks, a word that wakes the device, and the words of a question."""

from __future__ import annotations

from edge_agent.voice.activity import SpeechActivity
from edge_agent.voice.ear import Ear, Heard
from edge_agent.voice.gate import SpeechGate, SpeechRules
from edge_agent.voice.transcriber import Transcriber
from edge_agent.voice.wake import WakeWord

__all__ = ["Ear", "Heard", "SpeechActivity", "SpeechGate", "SpeechRules", "Transcriber", "WakeWord"]
