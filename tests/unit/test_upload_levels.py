"""The level of a plan is how finely an upload is coded; without one it is the configured one."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from edge_agent.cli.levelling import levelled
from edge_agent.clock import SystemClock
from edge_agent.config import CloudSettings, Config, ModelSettings, PolicySettings
from edge_agent.engines.base import Query
from edge_agent.engines.upload import Coding, Upload
from edge_agent.policy import LevelledPolicy, make_policy
from edge_agent.transport.messages import Welcome
from edge_agent.transport.projected import Projected, projected_codecs
from edge_agent.transport.shipped import register_shipped
from edge_agent.types import Action, Decision, Embeddings, Modality, ModalityPlan, Route
from edge_agent.vlm import open_bundle


@pytest.fixture(scope="module")
def codec() -> Projected:
    bundle = open_bundle("edge-vqa", verify=False)
    register_shipped(bundle.codec_files)
    return projected_codecs(bundle.encoder_id)[0]


def payload(codec: Projected, level: int | None) -> bytes:
    basis = codec.basis
    rows = np.random.default_rng(0).normal(size=(basis.tokens, basis.hidden)).astype(np.float32)
    plan = ModalityPlan(Modality.IMAGE, Action.UPLOAD, "projected", level=level)
    query = Query("what is it?", (Embeddings(rows, basis.encoder_id),))
    upload = Upload(query, Decision(Route.CLOUD, "test", "", (plan,)), Coding(level=1), SystemClock())
    welcome = Welcome(1, "cloud", (codec.codec_id,), (basis.encoder_id,), basis.hidden)
    (tensor,) = asyncio.run(upload.tensors(welcome))
    assert tensor.config["level"] == (1 if level is None else level)
    return tensor.payload


def test_a_plan_says_how_finely_its_picture_is_coded(codec: Projected) -> None:
    sizes = [len(payload(codec, level)) for level in (None, 0, 1, 5)]
    assert sizes[0] == sizes[2]
    assert sizes[1] > sizes[2] > sizes[3]


def test_the_shipped_table_of_levels_is_of_the_shipped_basis(codec: Projected) -> None:
    config = Config(policy=PolicySettings(name="cloud"))
    policy = make_policy(config.policy, config.cloud)
    assert isinstance(levelled(config, policy), LevelledPolicy)


@pytest.mark.parametrize(
    "config",
    [Config(cloud=CloudSettings(codec="int8-zstd")), Config(model=ModelSettings(edge="/nowhere"))],
    ids=["another codec", "no model"],
)
def test_without_the_basis_there_is_no_choice_of_levels(config: Config) -> None:
    policy = make_policy(PolicySettings(name="cloud"), config.cloud)
    assert levelled(config, policy) is policy
