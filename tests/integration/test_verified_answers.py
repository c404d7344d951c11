"""The shipped pair over a real connection: the device's draft is checked by the cloud, whose words stay its own."""

from __future__ import annotations

import asyncio

import pytest

from cloud_stub.backends.onnx import OnnxBackend
from clouds import running_cloud
from edge_agent.clock import SystemClock
from edge_agent.engines.base import Query
from edge_agent.engines.cloud import CloudEngine
from edge_agent.engines.local import BundleModel, LocalEngine
from edge_agent.transport.client import CloudClient
from edge_agent.types import Decision, Frame, Generation, Route
from edge_agent.vlm import Bundle, find_bundle
from edge_agent.vlm.selftest import picture

QUESTIONS = ("what is in the picture?", "is there a dog in the picture?", "what colour is the ball?")
DECISION = Decision(Route.CLOUD, "test", "as told")


@pytest.fixture(scope="module")
def pair() -> tuple[BundleModel, OnnxBackend]:
    return BundleModel(Bundle.open(find_bundle("edge-vqa")), 1), OnnxBackend(find_bundle("cloud-vqa"))


async def answers(pair: tuple[BundleModel, OnnxBackend], verify: str) -> list[Generation]:
    model, backend = pair
    clock, local = SystemClock(), LocalEngine(model, SystemClock())
    made = []
    async with running_cloud(backend) as cloud:
        engine = CloudEngine(CloudClient(cloud.url), clock, drafter=local, verify=verify)
        seen = await local.encode(Frame(picture(), 0.0))
        for question in QUESTIONS:
            items = [item async for item in engine.generate(Query(question, seen), DECISION)]
            made += [item for item in items if isinstance(item, Generation)]
        await engine.close()
    await local.close()
    return made


def test_checked_answers_are_the_clouds_own_and_some_of_the_draft_stands(pair: tuple[BundleModel, OnnxBackend]):
    plain, checked = (asyncio.run(answers(pair, verify)) for verify in ("off", "on"))
    assert [one.text for one in checked] == [one.text for one in plain]
    assert [one.draft_tokens for one in plain] == [0] * len(QUESTIONS)
    assert all(one.draft_tokens for one in checked)
    assert sum(one.accepted_tokens for one in checked) > 0
