"""The device at a real mosquitto: found by Home Assistant's rules, answering, and never held up by the broker."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agents import Bench, FixedPolicy, GreyExtractor, frame, tone
from apis import process
from edge_agent.api.app import Api
from edge_agent.clock import SystemClock
from edge_agent.config import Config, LimitSettings, MqttSettings
from edge_agent.errors import UsageError
from edge_agent.mqtt.bridge import Bridge
from edge_agent.mqtt.messages import answer_of, node_of
from edge_agent.types import Route
from media import make_clip

aiomqtt = pytest.importorskip("aiomqtt", reason="aiomqtt is not installed: pip install 'edge-agent[mqtt]'")
MOSQUITTO = shutil.which("mosquitto") or next((p for p in ("/usr/sbin/mosquitto",) if Path(p).exists()), "")
pytestmark = pytest.mark.skipif(not MOSQUITTO, reason="there is no mosquitto: apt install mosquitto")
NODE = "edge-agent/kitchen"


class Broker:
    """A mosquitto on a port of its own."""

    def __init__(self, folder: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self._config = folder / "mosquitto.conf"
        self._config.write_text(f"listener {self.port} 127.0.0.1\nallow_anonymous true\n")
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(
            [MOSQUITTO, "-c", str(self._config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            time.sleep(0.02)

    def stop(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait(20)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    made = Broker(tmp_path)
    yield made
    made.stop()


class Listener:
    """Everything that the broker tells, by topic; the newest last."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.told: dict[str, list[str]] = {}

    async def read(self) -> None:
        async for message in self.client.messages:
            self.told.setdefault(str(message.topic), []).append(message.payload.decode())

    async def wait(self, topic: str, fits: Callable[[str], bool] = lambda _: True) -> str:
        """The first message of a topic that fits; pytest's timeout bounds it."""
        while True:
            for text in self.told.get(topic, []):
                if fits(text):
                    return text
            await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def listening(broker: Broker) -> AsyncIterator[Listener]:
    async with aiomqtt.Client("127.0.0.1", broker.port, identifier=f"test-{random.random()}") as client:
        await client.subscribe("#")
        listener = Listener(client)
        reading = asyncio.ensure_future(listener.read())
        try:
            yield listener
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)


def settings(broker: Broker, **more: Any) -> MqttSettings:
    return MqttSettings(host="127.0.0.1", port=broker.port, name="kitchen", every_s=1.0, **more)


@contextlib.asynccontextmanager
async def bridged(wanted: MqttSettings, private: bool = False) -> AsyncIterator[Api]:
    """A device that sees one picture, with a scripted agent."""
    api = Api(Config(mqtt=wanted, limits=LimitSettings(private=private)), SystemClock(), "edge-vqa", "e", "camera 0")
    api.desk.open(Bench(FixedPolicy(Route.LOCAL)).agent)
    api.health.phase = ""
    api.senses.watching = True
    extractor = GreyExtractor()
    api.senses.look_back.add(frame())
    api.senses.saw(frame(), *extractor.vision(frame().pixels))
    api.senses.heard(tone(0.1), extractor.sound(tone(0.1).samples, 16000))
    bridge = Bridge(api, wanted, None, random.Random(0))
    bridge.start()
    try:
        yield api
    finally:
        await bridge.close()


def test_home_assistant_finds_every_entity_and_where_its_state_is(broker: Broker) -> None:
    async def go() -> None:
        async with listening(broker) as listener, bridged(settings(broker, ask=True)):
            await listener.wait(f"{NODE}/availability", lambda text: text == "online")
            found = {topic: json.loads(texts[0]) for topic, texts in listener.told.items() if topic.endswith("/config")}
            state = json.loads(await listener.wait(f"{NODE}/state"))
        kinds = {tuple(topic.split("/")[1:4:2]) for topic in found}
        assert kinds >= {
            ("sensor", "answer"),
            ("binary_sensor", "problem"),
            ("text", "question"),
            ("sensor", "changed"),
        }
        assert len({one["unique_id"] for one in found.values()}) == len(found)
        for topic, one in found.items():
            assert topic.split("/")[0] == "homeassistant"
            assert one["availability_topic"] == f"{NODE}/availability"
            assert one["device"]["identifiers"] == ["edge-agent-kitchen"]
            key = one.get("value_template", "").removeprefix("{{ value_json.").removesuffix(" }}")
            if one.get("state_topic") == f"{NODE}/state":
                assert key in state
        assert (state["problem"], state["reasons"]) == ("OFF", [])
        assert state["sound"] < 0

    asyncio.run(go())


def test_what_is_found_is_kept_by_the_broker_for_who_comes_later(broker: Broker) -> None:
    async def go() -> None:
        async with bridged(settings(broker)) as api:
            api.desk.record("change", "what is it?", None, "the time ran out")
            async with listening(broker) as listener:
                await listener.wait("homeassistant/sensor/kitchen/answer/config")
                told = json.loads(await listener.wait(f"{NODE}/answer"))
                assert (told["answer"], told["answered"]) == ("the time ran out", False)
        async with listening(broker) as listener:  # it said good-bye by itself
            assert await listener.wait(f"{NODE}/availability") == "offline"

    asyncio.run(go())


def test_a_question_on_the_topic_is_answered_with_its_route_and_reason(broker: Broker) -> None:
    async def go() -> None:
        async with listening(broker) as listener, bridged(settings(broker, ask=True)):
            await listener.wait(f"{NODE}/availability", lambda text: text == "online")
            await listener.client.publish(f"{NODE}/ask", "what is on the table?", qos=1)
            told = json.loads(await listener.wait(f"{NODE}/answer", lambda text: "table" in text))
            assert (told["answer"], told["route"], told["trigger"]) == ("cup", "local", "mqtt")
            assert told["reason"]
            for question, words in (("  ", "the question is empty"), ("x" * 3000, "3000 characters")):
                await listener.client.publish(f"{NODE}/ask", question, qos=1)
                await listener.wait(f"{NODE}/answer", lambda text, words=words: words in text)

    asyncio.run(go())


def test_nobody_may_ask_unless_it_is_allowed_and_no_question_of_yesterday_is_asked(broker: Broker) -> None:
    async def go() -> None:
        async with listening(broker) as listener:
            await listener.client.publish(f"{NODE}/ask", "of yesterday?", qos=1, retain=True)
            for ask in (False, True):
                async with bridged(settings(broker, ask=ask)) as api:
                    await listener.wait(f"{NODE}/availability", lambda text: text == "online")
                    if not ask:
                        await listener.client.publish(f"{NODE}/ask", "may I?", qos=1)
                    await listener.wait(f"{NODE}/state")
                    await asyncio.sleep(0.3)
                    assert not api.desk.records
                listener.told.clear()

    asyncio.run(go())


def test_a_private_device_tells_that_it_answered_and_no_words(broker: Broker) -> None:
    async def go() -> None:
        async with listening(broker) as listener, bridged(settings(broker, ask=True), private=True):
            await listener.wait(f"{NODE}/availability", lambda text: text == "online")
            await listener.client.publish(f"{NODE}/ask", "a secret?", qos=1)
            told = json.loads(await listener.wait(f"{NODE}/answer"))
            assert (told["answer"], told["question"], told["route"]) == ("(private)", "(private)", "local")

    asyncio.run(go())


def test_a_broker_that_is_away_and_comes_back_is_told_what_it_missed(broker: Broker) -> None:
    async def go() -> None:
        broker.stop()
        async with bridged(settings(broker)) as api:
            api.desk.record("sound", "what was it?", None, "nothing")
            broker.start()
            async with listening(broker) as listener:
                first = await listener.wait(f"{NODE}/answer", lambda text: "what was it?" in text)
            broker.stop()
            api.desk.record("sound", "and now?", None, "nothing")
            broker.start()
            async with listening(broker) as listener:
                await listener.wait("homeassistant/sensor/kitchen/answer/config")
                second = await listener.wait(f"{NODE}/answer", lambda text: "and now?" in text)
        assert [json.loads(one)["question"] for one in (first, second)] == ["what was it?", "and now?"]

    asyncio.run(go())


def test_home_assistant_that_starts_anew_is_told_everything_again(broker: Broker) -> None:
    async def go() -> None:
        topic = "homeassistant/sensor/kitchen/answer/config"
        async with listening(broker) as listener, bridged(settings(broker)):
            await listener.wait(f"{NODE}/availability", lambda text: text == "online")
            await listener.client.publish("homeassistant/status", "online")
            while len(listener.told[topic]) < 2:  # noqa: ASYNC110 - told by another task
                await asyncio.sleep(0.01)
            before, again = listener.told[topic][:2]
            assert json.loads(again) == json.loads(before)

    asyncio.run(go())


def test_a_killed_agent_is_offline_by_its_will(broker: Broker, tmp_path: Path) -> None:
    """A real `edge-agent run`: its answer arrives, it is killed, and the broker says so."""
    clip = make_clip(tmp_path / "clip.mp4", [60] * 900, size=(120, 160), contrast=190)
    config = tmp_path / "config.toml"
    config.write_text(f'[api]\nport = 0\n[mqtt]\nhost = "127.0.0.1"\nport = {broker.port}\nname = "kitchen"\n')

    async def go() -> None:
        async with listening(broker) as listener:
            arguments = ("run", "--config", str(config), "--clip", str(clip), "--api", "--cloud", "")
            with process(*arguments, env={"XDG_STATE_HOME": str(tmp_path)}, cwd=tmp_path) as agent:
                told = json.loads(await listener.wait(f"{NODE}/answer"))
                assert (told["trigger"], told["question"]) == ("change", "what is in the picture?")
                await asyncio.to_thread(agent.stop, signal.SIGKILL)
                await listener.wait(f"{NODE}/availability", lambda text: text == "offline")

    asyncio.run(go())


def test_a_password_does_not_travel_in_the_clear_beyond_this_machine() -> None:
    api = Api(Config(), SystemClock())
    asyncio.run(_make(api, MqttSettings(host="127.0.0.1"), "secret"))
    asyncio.run(_make(api, MqttSettings(host="broker.local", plain_password=True), "secret"))
    asyncio.run(_make(api, MqttSettings(host="broker.local", tls=True), "secret"))
    with pytest.raises(UsageError, match=r"in the clear: set mqtt\.tls"):
        asyncio.run(_make(api, MqttSettings(host="broker.local"), "secret"))
    with pytest.raises(UsageError, match=r"mqtt\.ca"):
        asyncio.run(_make(api, MqttSettings(host="broker.local", tls=True, ca="/nowhere.pem"), None))


async def _make(api: Api, wanted: MqttSettings, password: str | None) -> None:
    Bridge(api, wanted, password, random.Random(0))


def test_names_are_made_fit_for_topics_and_long_answers_for_states() -> None:
    assert node_of("my kitchen/+#é") == "my-kitchen"
    assert node_of("///") == "edge-agent"
    assert node_of("")
    record = Api(Config(), SystemClock()).desk.record("api", "?", None, "x" * 400)
    assert len(json.loads(answer_of(record))["answer"]) == 255
