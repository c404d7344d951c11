"""Our own scalar kernels, plain C++: what the instruction set in use is worth."""

from __future__ import annotations

from dataclasses import replace

from edge_agent.cli.bench.measure import Contender
from edge_agent.cli.bench.ours import own
from edge_agent.cli.bench.ours_sound import own_sound
from edge_agent.cli.bench.pictures import Scene
from edge_agent.cli.bench.sounds import SoundScene
from edge_agent.features import available_isas

SCALAR = "scalar"


def contenders(scene: Scene | SoundScene) -> list[Contender]:
    """The same call with another instruction set; none where the native module is missing."""
    if SCALAR not in available_isas():
        return []
    made = own(scene, SCALAR) if isinstance(scene, Scene) else own_sound(scene, SCALAR)
    return [replace(made, name=SCALAR)]
