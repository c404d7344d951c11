"""The offloading policies and the guards around them; `make_policy` builds a guarded one by name."""

from __future__ import annotations

from collections.abc import Callable

from edge_agent.config import POLICY_NAMES, CloudSettings, PolicySettings
from edge_agent.policy.base import OffloadPolicy
from edge_agent.policy.baselines import ConstantPolicy
from edge_agent.policy.guards import AWAY, GuardedPolicy, held_back
from edge_agent.policy.hybrid import HybridPolicy
from edge_agent.policy.levels import LevelledPolicy, Levels, shipped_levels
from edge_agent.policy.moa_off import MoaOffPolicy
from edge_agent.policy.msao import MsaoPolicy
from edge_agent.policy.oracle import OraclePolicy
from edge_agent.policy.predictors import Predictors, shipped_predictors
from edge_agent.policy.qlmio import QlmioPolicy
from edge_agent.policy.simple import CascadePolicy, RandomPolicy, ThresholdPolicy
from edge_agent.policy.tmo_agent import TmoPolicy
from edge_agent.policy.tmo_responses import shipped_responses
from edge_agent.policy.ucb import UcbPolicy
from edge_agent.types import Route

__all__ = [
    "AWAY",
    "POLICY_NAMES",
    "CascadePolicy",
    "ConstantPolicy",
    "GuardedPolicy",
    "HybridPolicy",
    "LevelledPolicy",
    "Levels",
    "MoaOffPolicy",
    "MsaoPolicy",
    "OffloadPolicy",
    "OraclePolicy",
    "Predictors",
    "QlmioPolicy",
    "RandomPolicy",
    "ThresholdPolicy",
    "TmoPolicy",
    "UcbPolicy",
    "held_back",
    "make_policy",
    "make_unguarded",
    "shipped_levels",
    "shipped_predictors",
    "shipped_responses",
]


def make_policy(settings: PolicySettings, cloud: CloudSettings) -> GuardedPolicy:
    """The policy that the settings name, inside the guards. The settings have been checked: the name is known."""
    return GuardedPolicy(make_unguarded(settings, cloud))


def make_unguarded(settings: PolicySettings, cloud: CloudSettings) -> OffloadPolicy:
    """The bare policy, for who puts the guards around something larger."""
    name, codec = settings.name, cloud.codec
    if name in (Route.LOCAL.value, Route.CLOUD.value):
        return ConstantPolicy(Route(name), codec)
    if name == TmoPolicy.name:
        return TmoPolicy(settings, shipped_responses(), codec)
    if name in (QlmioPolicy.name, HybridPolicy.name):
        return _PREDICTING[name](settings, shipped_predictors(), codec)
    return _PLAIN[name](settings, codec)


_PREDICTING: dict[str, Callable[[PolicySettings, Predictors, str], OffloadPolicy]] = {
    QlmioPolicy.name: QlmioPolicy,
    HybridPolicy.name: HybridPolicy,
}
_PLAIN: dict[str, Callable[[PolicySettings, str], OffloadPolicy]] = {
    MsaoPolicy.name: MsaoPolicy,
    MoaOffPolicy.name: MoaOffPolicy,
    RandomPolicy.name: RandomPolicy,
    ThresholdPolicy.name: ThresholdPolicy,
    CascadePolicy.name: CascadePolicy,
    UcbPolicy.name: UcbPolicy,
}
