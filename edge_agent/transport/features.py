"""The names of what EAP/1 has learned since 0.1.0. Each side lists those that it knows; only what both name is used."""

from __future__ import annotations

DRAFT = "draft"
"""DRAFT up, VERDICT down: the device's own answer is checked by the cloud."""
HAVE = "have"
"""HAVE down, `held` in TURN: tensors that the session knows already are not sent again."""
BASE = "base"
"""`base_turn` in TURN: the conversation up to an earlier turn of the session is not sent again."""
RESUME = "resume"
"""RESUME up, RESUMED down: a session goes on over a new connection."""
CREDIT = "credit"
"""CREDIT down, `credit` in WELCOME: how many bytes of tensors may be sent."""

CLIENT = (DRAFT, HAVE, BASE, RESUME, CREDIT)
"""What this client knows."""
