"""Puts the choice of how finely pictures are coded behind a policy, where the device's model has the measured basis."""

from __future__ import annotations

from edge_agent.config import Config
from edge_agent.engines.upload import PROJECTED
from edge_agent.errors import ModelError
from edge_agent.policy import LevelledPolicy, OffloadPolicy, shipped_levels
from edge_agent.transport.projected import projected_codecs
from edge_agent.transport.shipped import register_shipped
from edge_agent.vlm import open_bundle


def levelled(config: Config, policy: OffloadPolicy) -> OffloadPolicy:
    """`policy`, which also chooses how finely pictures are coded, where the device's model has the basis of which that
    was measured.
    """
    levels = shipped_levels() if config.cloud.codec == PROJECTED else None
    if levels is None:
        return policy
    try:
        bundle = open_bundle(config.model.edge, verify=False)
        register_shipped(bundle.codec_files)
    except ModelError:  # said where the model is opened; a decision needs none
        return policy
    if levels.basis_id not in {codec.basis.basis_id for codec in projected_codecs(bundle.encoder_id)}:
        return policy
    return LevelledPolicy(policy, levels, config.cloud.level, config.policy)
