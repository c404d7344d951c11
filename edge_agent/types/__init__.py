"""The values that cross the edges between stages: observations, features, decisions, tokens, answers.

All are frozen and slotted (some of them for mypy only, see `value`). Times are monotonic seconds (`_s`); durations at
the edges are milliseconds (`_ms`).
"""

from edge_agent.types.answer import (
    Answer,
    Embeddings,
    EmbeddingSizes,
    Generation,
    Hedged,
    Outcome,
    TokenEvent,
)
from edge_agent.types.arrays import F32, U8, value
from edge_agent.types.decision import (
    Action,
    Decision,
    ModalityPlan,
    Route,
    SystemState,
)
from edge_agent.types.features import (
    EmptyTiles,
    ImageFeatures,
    ModalityFeatures,
    MotionFeatures,
    SoundFeatures,
    SoundSummary,
    TextFeatures,
)
from edge_agent.types.observation import (
    AudioWindow,
    Frame,
    Modality,
    Observation,
    Turn,
)

__all__ = [
    "F32",
    "U8",
    "Action",
    "Answer",
    "AudioWindow",
    "Decision",
    "EmbeddingSizes",
    "Embeddings",
    "EmptyTiles",
    "Frame",
    "Generation",
    "Hedged",
    "ImageFeatures",
    "Modality",
    "ModalityFeatures",
    "ModalityPlan",
    "MotionFeatures",
    "Observation",
    "Outcome",
    "Route",
    "SoundFeatures",
    "SoundSummary",
    "SystemState",
    "TextFeatures",
    "TokenEvent",
    "Turn",
    "value",
]
