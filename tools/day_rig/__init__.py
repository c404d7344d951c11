"""Plays a day of mishaps in minutes against the real agent, and says what became of every question."""

import sys
from pathlib import Path

# What is installed is played, not the source tree that the tools lie in, unless it is built in place.
_ROOT = str(Path(__file__).resolve().parents[2])
if _ROOT in sys.path:
    sys.path.remove(_ROOT)
    sys.path.append(_ROOT)
