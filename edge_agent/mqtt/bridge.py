"""The connection to the broker: kept for ever with growing delays, and never in the way of an answer."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import ssl
from collections import deque
from pathlib import Path
from typing import Any

from edge_agent.agent import check_question
from edge_agent.api.app import Api
from edge_agent.api.desk import Record
from edge_agent.api.refusals import Refusal
from edge_agent.config import MqttSettings
from edge_agent.errors import EdgeAgentError, UsageError
from edge_agent.mqtt.messages import OFFLINE, ONLINE, Topics, answer_of, discovery, node_of, state_of
from edge_agent.transport.hosts import is_loopback

FIRST_DELAY_S = 0.5
MOST_DELAY_S = 60.0
CANCEL_S = 2.0  # for a good-bye, until the next attempt
KEPT = 50  # answers that wait for the broker; the oldest leave first
MAX_QUESTION_BYTES = 8000
log = logging.getLogger(__name__)


def aiomqtt_module() -> Any:
    """The aiomqtt module. Raises UsageError with the line that installs it."""
    try:
        import aiomqtt
    except ImportError as error:
        raise UsageError("mqtt.host needs aiomqtt", "pip install 'edge-agent[mqtt]'") from error
    return aiomqtt


class Bridge:
    """Tells a broker what `api` records, and how it is; takes questions where `settings.ask` allows it.

    Raises UsageError for settings that cannot be right.
    """

    def __init__(self, api: Api, settings: MqttSettings, password: str | None, rng: random.Random) -> None:
        self._module = aiomqtt_module()
        self._tls = tls_of(settings)
        if password is not None and self._tls is None and not is_loopback(settings.host):
            words = f"the password for {settings.host} would travel in the clear"
            if not settings.plain_password:
                raise UsageError(words, "set mqtt.tls = true, or mqtt.plain_password = true in a network of your own")
        self._api = api
        self._settings = settings
        self._password = password
        self._rng = rng
        self._topics = Topics(settings.prefix, settings.discovery, node_of(settings.name))
        self._waiting: deque[Record] = deque(maxlen=KEPT)
        self._wake = asyncio.Event()
        self._asking: set[asyncio.Task[None]] = set()
        self._running: asyncio.Future[None] | None = None
        self.connections = 0
        api.desk.recorded.append(self._put)

    def start(self) -> None:
        """Begin to look for the broker."""
        self._running = asyncio.ensure_future(self.run())

    async def close(self) -> None:
        """Say good-bye, if there is a connection."""
        if self._running is not None:
            await ended(self._running)

    async def run(self) -> None:
        """Until cancelled. A broker that is away is said once, and looked for again and again."""
        delay_s, lost = FIRST_DELAY_S, False
        while True:
            before = self.connections
            try:
                await self._connected()
            except (self._module.MqttError, OSError, asyncio.TimeoutError) as error:
                if self.connections > before:
                    delay_s, lost = FIRST_DELAY_S, False
                if not lost:
                    place = f"{self._settings.host}:{self._settings.port}"
                    log.warning("the MQTT broker %s is lost (%s); it is looked for again", place, error)
                lost = True
            except Exception:  # the border of this task: answers go on without the broker
                log.exception("a bug in what is said to the MQTT broker")
            await asyncio.sleep(delay_s * self._rng.uniform(0.5, 1.0))
            delay_s = min(MOST_DELAY_S, delay_s * 2)

    async def _connected(self) -> None:
        """One connection, until it is lost. Raises MqttError."""
        settings, topics = self._settings, self._topics
        will = self._module.Will(topics.of("availability"), OFFLINE, qos=1, retain=True)
        async with self._module.Client(
            settings.host,
            settings.port,
            username=settings.user or None,
            password=self._password,
            identifier=f"edge-agent-{topics.node}",
            will=will,
            tls_context=self._tls,
            timeout=10.0,
            keepalive=30,
        ) as client:
            self.connections += 1
            await client.subscribe(f"{settings.discovery}/status", qos=1)
            if settings.ask:
                await client.subscribe(topics.of("ask"), qos=1)
            await self._announce(client)
            tasks = [asyncio.ensure_future(work(client)) for work in (self._listen, self._tell, self._states)]
            try:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                await ended(*tasks)
                with contextlib.suppress(self._module.MqttError):
                    await client.publish(topics.of("availability"), OFFLINE, qos=1, retain=True, timeout=1.0)
            for task in tasks:
                if not task.cancelled() and (error := task.exception()) is not None:
                    raise error

    async def _announce(self, client: Any) -> None:
        for topic, text in discovery(self._topics, self._api.model, self._settings.ask):
            await client.publish(topic, text, qos=1, retain=True)
        await client.publish(self._topics.of("state"), await asyncio.to_thread(state_of, self._api), qos=1, retain=True)
        await client.publish(self._topics.of("availability"), ONLINE, qos=1, retain=True)

    async def _listen(self, client: Any) -> None:
        async for message in client.messages:
            payload = message.payload if isinstance(message.payload, bytes) else b""
            if str(message.topic) == self._topics.of("ask"):
                if not message.retain:  # an old question that the broker kept is about another moment
                    self._ask(payload)
            elif payload == ONLINE.encode():  # Home Assistant has started anew
                await self._announce(client)

    async def _tell(self, client: Any) -> None:
        while True:
            while self._waiting:
                await client.publish(self._topics.of("answer"), answer_of(self._waiting[0]), qos=1, retain=True)
                self._waiting.popleft()
            self._wake.clear()
            await self._wake.wait()

    async def _states(self, client: Any) -> None:
        while True:
            await asyncio.sleep(self._settings.every_s)
            text = await asyncio.to_thread(state_of, self._api)
            await client.publish(self._topics.of("state"), text, qos=1, retain=True)

    def _put(self, record: Record) -> None:
        self._waiting.append(record)
        self._wake.set()

    def _ask(self, payload: bytes) -> None:
        task = asyncio.ensure_future(self._answer(payload))
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)

    async def _answer(self, payload: bytes) -> None:
        """A question about this moment. What is wrong with it is an answer, too."""
        api, private = self._api, self._api.config.limits.private
        question = payload[:MAX_QUESTION_BYTES].decode("utf-8", "replace").strip()
        told = None if private else question[:2000]
        try:
            api.desk.admit()
            check_question(question)
            moment = api.senses.moment(question, private, api.source)
            if moment is None:
                raise Refusal(503, "nothing is seen now", "start the agent with --camera URI")
            answer = await api.desk.ask(moment, api.limits, origin="mqtt")
        except EdgeAgentError as error:
            api.desk.record("mqtt", told, None, str(error))
        else:
            api.desk.record("mqtt", told, answer, None)


async def ended(*tasks: asyncio.Future[None]) -> None:
    """All of them cancelled and at their ends. asyncio.wait_for, which aiomqtt waits with, may swallow a cancellation
    before Python 3.12: then it is asked again.
    """
    while waiting := [task for task in tasks if not task.done()]:
        for task in waiting:
            task.cancel()
        await asyncio.wait(waiting, timeout=CANCEL_S)


def tls_of(settings: MqttSettings) -> ssl.SSLContext | None:
    """The TLS context, if TLS is wanted. Raises UsageError for a certificate that cannot be used."""
    if not settings.tls:
        return None
    try:
        return ssl.create_default_context(cafile=str(Path(settings.ca).expanduser()) if settings.ca else None)
    except OSError as error:
        raise UsageError(f"mqtt.ca {settings.ca} cannot be used ({error})", "give a PEM file") from error
