"""Assembles an agent from a configuration: the one place where settings become parts."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from edge_agent.agent import Agent
from edge_agent.cli.levelling import levelled
from edge_agent.cli.paths import state_dir
from edge_agent.cli.remembered import RememberedPolicy
from edge_agent.cli.secrets import cloud_secret
from edge_agent.cli.warming import kept_speed
from edge_agent.clock import Clock, SystemClock
from edge_agent.config import Config, PolicySettings
from edge_agent.engines.base import Engine
from edge_agent.engines.drafting import Drafter
from edge_agent.engines.local import BundleModel, LocalEngine, embedding_sizes
from edge_agent.engines.upload import Coding
from edge_agent.errors import ModelError, UsageError
from edge_agent.features import FeatureExtractor
from edge_agent.hedging import HedgeBudget
from edge_agent.monitors.device import DeviceMonitors
from edge_agent.parts import Limits, Parts, question_state
from edge_agent.policy import GuardedPolicy, OffloadPolicy, make_policy, make_unguarded, shipped_responses
from edge_agent.sources.faces import FaceFinder, FaceVeil
from edge_agent.store import side_models
from edge_agent.store.decisions import DecisionLog
from edge_agent.store.drafts import read_calibration
from edge_agent.store.ledger import Ledger, MemoryLedger
from edge_agent.transport.pictures import PictureCoding
from edge_agent.types import Decision, EmbeddingSizes, ModalityFeatures, Observation, Route, SystemState
from edge_agent.vlm import open_bundle

if TYPE_CHECKING:
    from edge_agent.api.mask_file import Masks

BY_GAIN = ("hybrid", "cascade")  # the policies that `edge-agent calibrate` is for
log = logging.getLogger(__name__)


def extractor_factory(config: Config) -> Callable[[], FeatureExtractor]:
    """A maker of fresh feature extractors, which sum up for the configured policy.

    Raises UsageError at once where the kernels refuse the settings.
    """

    settings, policy = config.features, config.policy

    def make() -> FeatureExtractor:
        return FeatureExtractor(
            tile=settings.tile,
            edge_threshold=settings.edge_threshold,
            change_threshold=settings.change_threshold,
            window=settings.window,
            hop=settings.hop,
            empty_below_bits=policy.tile_entropy_bits,
            quiet_energy=policy.quiet_energy,
        )

    try:
        make()
    except ValueError as error:
        raise UsageError(f"the kernels refuse these settings: {error}", "see [features] and EDGE_AGENT_ISA") from error
    return make


def make_cloud(config: Config, clock: Clock, drafter: Drafter | None = None) -> Engine | None:
    """The cloud engine; None without a URL, or where nothing may or will go there. Connects when it is first asked.

    Raises UsageError for a URL or token that cannot be right.
    """
    if not config.cloud.url or config.limits.private or config.policy.name == "local":
        return None
    from edge_agent.engines.cloud import CloudEngine
    from edge_agent.transport.client import CloudClient

    client = CloudClient(
        config.cloud.url, cloud_secret(config).value(), connect_timeout_s=config.cloud.connect_timeout_ms / 1000
    )
    return CloudEngine(client, clock, coding_of(config), drafter, config.cloud.verify)


def coding_of(config: Config) -> Coding:
    """How embeddings are coded."""
    cloud = config.cloud
    return Coding(cloud.codec, cloud.level, PictureCoding(cloud.picture_side, cloud.picture_quality), cloud.changes)


def calibrated(config: Config) -> PolicySettings:
    """The policy's settings, with what is left to a calibration filled in. Raises ModelError."""
    settings = config.policy
    if settings.accept_entropy < 0:
        calibration = open_bundle(config.model.edge, verify=False).calibration
        settings = replace(settings, accept_entropy=calibration.accept_entropy)
    if settings.name not in BY_GAIN or settings.min_gain <= 1.0:
        return settings
    min_gain = _stored_gain(config)
    return settings if min_gain is None else replace(settings, min_gain=min_gain)


def _stored_gain(config: Config) -> float | None:
    """What `edge-agent calibrate` left for this very model; a warning where it was another one's."""
    path = calibration_path(config)
    try:
        stored = read_calibration(path)
    except (OSError, ValueError) as error:
        log.warning("the calibration %s is set aside: %s", path, error)
        return None
    if stored is None:
        return None
    if stored.model != (model := model_identity(config)):
        log.warning(
            "the calibration %s (%s) is stale: it is of %s, the device's model is %s; run `edge-agent calibrate` again",
            *(path, stored.goal, stored.model, model),
        )
        return None
    return stored.min_gain


def calibration_path(config: Config) -> Path:
    """Where `edge-agent calibrate` leaves its threshold."""
    return state_dir(config) / "calibration.json"


def model_identity(config: Config) -> str:
    """Names the device's model as far as its confidence goes: another release or calibration is another model."""
    bundle = open_bundle(config.model.edge, verify=False)
    manifest = bundle.manifest
    digest = hashlib.sha256(repr((manifest.calibration, manifest.files)).encode()).hexdigest()[:12]
    return f"{manifest.name} {manifest.version} {digest}"


def warn_if_stale(config: Config) -> None:
    """Say so where `tmo` starts from a table that was measured with another model than the device's."""
    if config.policy.name != "tmo":
        return
    encoder_id = open_bundle(config.model.edge, verify=False).encoder_id
    if encoder_id not in (measured_with := shipped_responses().measured_with):
        log.warning("tmo's table is of %s, the device's model is not: tools/measure_tmo.py remakes it", measured_with)


def open_model(config: Config) -> BundleModel:
    """The device's model, verified and opened. Raises ModelError."""
    wanted = config.model
    splitting = {"on": True, "off": False}.get(wanted.splitting)
    bundle = open_bundle(wanted.edge, splitting=splitting, provider=wanted.provider)
    return BundleModel(bundle, wanted.threads, wanted.encoder, coding_of(config))


def open_ledger(config: Config, clock: Clock) -> Ledger | MemoryLedger:
    """Today's purse; an empty one where its file cannot be used, so that no day can cost more than its budget."""
    path = state_dir(config) / "ledger.sqlite3"
    try:
        return Ledger(path, config.limits.budget_usd_per_day, clock)
    except (OSError, sqlite3.Error) as error:
        log.warning("the ledger %s cannot be used (%s): no money is spent", path, error)
        return MemoryLedger(0.0, clock)


def open_journal(config: Config) -> DecisionLog:
    """The decision log of this configuration."""
    path = state_dir(config) / "decisions.jsonl"
    try:
        model = model_identity(config)
    except ModelError:
        model = ""
    return DecisionLog(path, int(config.run.log_max_mb * 1e6), model, config.run.log_max_days * 86_400)


def remembered_policy(config: Config) -> RememberedPolicy:
    """The configured policy with what it learned earlier; another one may be switched on later. Raises ModelError."""

    def make(name: str) -> OffloadPolicy:
        settings = replace(config.policy, name=name)
        return make_unguarded(calibrated(replace(config, policy=settings)), config.cloud)

    return RememberedPolicy(make, config.policy.name, state_dir(config))


def masks_in_force(config: Config) -> Masks:
    """The privacy masks of camera pictures: configured, and drawn in the page. Raises UsageError."""
    from edge_agent.api.mask_file import Masks

    return Masks(config.run.masks, state_dir(config) / "masks.json")


def primed(monitors: DeviceMonitors, config: Config) -> DeviceMonitors:
    """The same monitors, told how long the device took for a short answer when it was last warmed up, if it was."""
    try:
        speed = kept_speed(config, model_identity(config))
    except ModelError:
        return monitors
    if speed is not None:
        monitors.local_answered(speed.answer_ms)
    return monitors


def open_veil(config: Config) -> FaceVeil | None:
    """What blurs faces, where that is wanted. Raises ModelError where it cannot be: it is never left out."""
    if not config.run.blur_faces:
        return None
    return FaceVeil(FaceFinder(side_models.find(side_models.FACES) / side_models.FACES.files[0].name))


@asynccontextmanager
async def open_agent(
    config: Config,
    model: BundleModel,
    clock: Clock | None = None,
    *,
    journal: bool = True,
    remembered: RememberedPolicy | None = None,
) -> AsyncIterator[Agent]:
    """A whole agent around an opened model; its engines are closed at the end.

    `journal` keeps the decision log and what the policy learns; without it, every run starts from the same. The policy
    is `remembered` where it is given, for who wants to switch it.
    """
    clock = clock or SystemClock()
    if remembered is None and journal:
        remembered = remembered_policy(config)
    warn_if_stale(config)
    veil, after_ms = await asyncio.to_thread(open_veil, config), config.cloud.hedge_after_ms
    local = LocalEngine(model, clock)
    cloud = make_cloud(config, clock, local)
    monitors = primed(DeviceMonitors(clock, model.sizes, config.cloud.usd_per_question), config)
    ledger = await asyncio.to_thread(open_ledger, config, clock)
    policy = make_policy(calibrated(config), config.cloud) if remembered is None else GuardedPolicy(remembered)
    agent = Agent(
        Parts(
            extractor=extractor_factory(config)(),
            local=local,
            cloud=cloud,
            policy=levelled(config, policy),
            monitors=monitors,
            purse=ledger,
            journal=open_journal(config) if journal else None,
            clock=clock,
            max_new_tokens=config.model.max_new_tokens,
            veil=veil,
            hedging=HedgeBudget(after_ms, config.cloud.hedge_share) if after_ms else None,
            forced={route: _constant(config, route) for route in (Route.LOCAL, Route.CLOUD)},
        )
    )
    try:
        yield agent
    finally:
        if remembered is not None:
            await asyncio.to_thread(remembered.save)
        await agent.close()


def _constant(config: Config, route: Route) -> OffloadPolicy:
    """What decides where a question names its route itself."""
    return levelled(config, make_policy(replace(config.policy, name=route.value), config.cloud))


def _sizes(config: Config) -> EmbeddingSizes | None:
    """What the model's embeddings weigh, without loading it; None where there is none: a decision needs no model."""
    try:
        return embedding_sizes(open_bundle(config.model.edge, verify=False), coding_of(config))
    except ModelError as error:
        log.info("sizes of embeddings are not known: %s", error)
        return None


class Decider:
    """Features, state and decision of an observation, without any engine: nothing is loaded and nothing can be sent."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._clock = SystemClock()
        self._policy = levelled(config, make_policy(calibrated(config), config.cloud))
        monitors = DeviceMonitors(self._clock, _sizes(config), config.cloud.usd_per_question)
        self._monitors = primed(monitors, config)
        self._extractor = extractor_factory(config)()

    def __call__(self, observation: Observation, limits: Limits) -> tuple[ModalityFeatures, SystemState, Decision]:
        features, ledger = self._extractor.observe(observation), open_ledger(self._config, self._clock)
        state = question_state(self._monitors, bool(self._config.cloud.url), ledger, observation, limits)
        return features, state, self.again(features, state, observation)

    def again(self, features: ModalityFeatures, state: SystemState, observation: Observation) -> Decision:
        """The decision about the same observation in another state."""
        return self._policy.decide(features, state, observation.history)
