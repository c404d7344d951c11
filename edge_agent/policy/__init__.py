"""The offloading policies and the guards around them; `make_policy` builds a guarded one by name."""

from __future__ import annotations

from edge_agent.config import POLICY_NAMES, CloudSettings, PolicySettings
from edge_agent.policy.base import OffloadPolicy
from edge_agent.policy.baselines import ConstantPolicy
from edge_agent.policy.guards import GuardedPolicy
from edge_agent.policy.moa_off import MoaOffPolicy
from edge_agent.policy.msao import MsaoPolicy
from edge_agent.policy.tmo_agent import TmoPolicy
from edge_agent.policy.tmo_responses import shipped_responses
from edge_agent.types import Route

__all__ = [
    "POLICY_NAMES",
    "ConstantPolicy",
    "GuardedPolicy",
    "MoaOffPolicy",
    "MsaoPolicy",
    "OffloadPolicy",
    "TmoPolicy",
    "make_policy",
    "shipped_responses",
]


def make_policy(settings: PolicySettings, cloud: CloudSettings) -> GuardedPolicy:
    """The policy that the settings name, inside the guards. The settings have been checked: the name is known."""
    if settings.name == "msao":
        return GuardedPolicy(MsaoPolicy(settings, cloud.codec))
    if settings.name == "moa-off":
        return GuardedPolicy(MoaOffPolicy(settings, cloud.codec))
    if settings.name == "tmo":
        return GuardedPolicy(TmoPolicy(settings, shipped_responses(), cloud.codec))
    return GuardedPolicy(ConstantPolicy(Route(settings.name), cloud.codec))
