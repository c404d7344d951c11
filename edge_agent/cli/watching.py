"""What `run` and `serve` have in common: the agent, its sources, the API, and how they begin and end together."""

from __future__ import annotations

import asyncio
import functools
import random
import signal
import sys
from collections.abc import AsyncIterable, Callable, Coroutine
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import click

from edge_agent.asked import Asked
from edge_agent.cli.asking import ask_spoken, ask_typed
from edge_agent.cli.build import (
    extractor_factory,
    masks_in_force,
    model_identity,
    open_agent,
    open_model,
    remembered_policy,
)
from edge_agent.cli.hearing import Hearing, Write, open_ear
from edge_agent.cli.keeping import keeping
from edge_agent.cli.opening import Opening
from edge_agent.cli.options import limits_of
from edge_agent.cli.output import asked_record, asked_text, emit, json_line, waiting
from edge_agent.cli.paths import state_dir, user_path
from edge_agent.cli.printing import Printer
from edge_agent.cli.questions import read_questions
from edge_agent.cli.reloading import Reloader
from edge_agent.cli.remembered import RememberedPolicy
from edge_agent.cli.secrets import api_secret, mqtt_secret
from edge_agent.cli.warming import keep_speed, speed_name, warm_up
from edge_agent.clock import Clock, SystemClock
from edge_agent.config import Config, Loaded, RunSettings
from edge_agent.engines.local import BundleModel
from edge_agent.errors import UsageError
from edge_agent.service.heap import small_heap
from edge_agent.service.systemd import Notifier, Watchdog
from edge_agent.sources.base import Item, Source
from edge_agent.sources.camera import CameraSource
from edge_agent.sources.clip import ClipSource
from edge_agent.sources.masks import masked
from edge_agent.sources.merge import merge
from edge_agent.sources.microphone import MicrophoneSource
from edge_agent.sources.supervisor import Supervisor
from edge_agent.types import Decision, SystemState
from edge_agent.voice import Ear
from edge_agent.watch import Watcher

if TYPE_CHECKING:  # loaded only where it is served
    from edge_agent.agent import Agent
    from edge_agent.api.app import Api
    from edge_agent.mqtt.bridge import Bridge

DRAIN_S = 5.0


def make_sources(settings: RunSettings, fast: bool) -> list[Source]:
    """The sources that the settings name, possibly none; devices are supervised. Raises UsageError."""
    clock, rng = SystemClock(), random.Random()
    if settings.clip and settings.camera:
        raise UsageError("a clip and a camera are both named", "watch one of them: --clip F or --camera URI")
    if settings.clip:
        return [ClipSource(user_path(settings.clip), realtime=not fast)]
    if not settings.camera:
        return []
    sources: list[Source] = [Supervisor(lambda: CameraSource(settings.camera, clock=clock), clock, rng)]
    if settings.microphone:
        sources.append(Supervisor(lambda: MicrophoneSource(settings.microphone, clock=clock), clock, rng))
    return sources


async def watch(
    loaded: Loaded, sources: list[Source], fast: bool, as_json: bool, read_again: Callable[[], Loaded]
) -> None:
    """Open everything, watch the sources and serve the API as configured, until they end or a signal comes. At SIGHUP
    the configuration that `read_again` gives is applied as far as it can be.
    """
    config, clock, notifier, opening = loaded.config, SystemClock(), Notifier(), Opening()
    async with AsyncExitStack() as stack:
        stack.callback(opening.done)
        await stack.enter_async_context(small_heap(clock))
        api = await _serve(config, clock, stack, as_json)
        bridge = _bridge(api, config) if api is not None and config.mqtt.host else None
        opening.now("opening the model and warming it up")
        with waiting("opening", as_json):
            model = await asyncio.to_thread(_warm_model, config)
            ear = await asyncio.to_thread(open_ear, config) if sources else None
        opening.now(f"opening the books in {state_dir(config)}")
        masks = masks_in_force(config)
        policy = remembered_policy(config)
        agent = await stack.enter_async_context(open_agent(config, model, clock, remembered=policy))
        for source in sources:
            opening.now(f"opening {source.describe()}")
            await source.open()
            stack.push_async_callback(source.close)
        watchdog, printer = Watchdog(notifier, clock), Printer(sys.stdout)
        stack.push_async_callback(printer.close)
        watcher = _watcher(loaded, agent, api, clock, sources, _progress(opening, watchdog), fast, as_json, printer)
        opening.now(f"opening the outbox in {state_dir(config)}")
        watcher.keeper = stack.enter_context(keeping(loaded, agent, None if api is None else api.desk, clock))
        if ear is not None:
            _listen(stack, watcher, ear, config)
        reloader = Reloader(loaded, read_again, watcher, policy)
        if api is not None:
            masks.changed, api.masks, api.veil = api.senses.forget, masks, agent.veil
            _hand_over(api, agent, config, watcher.source, sources)
            _show(api, agent, policy)
            reloader.on_applied = functools.partial(setattr, api, "config")
            if bridge is not None:
                stack.push_async_callback(bridge.close)
                bridge.start()
            stack.push_async_callback(_drained, api)
        if sources:
            opening.now(f"waiting for a first picture or sound of {watcher.source}")
            read_questions(asyncio.get_running_loop(), functools.partial(ask_typed, watcher, policy))
            work = _watched(watcher, masked(merge(sources), masks), printer)
        else:
            opening.done()
            work = _for_ever()
        await _until_told(work, printer, reloader, notifier, watcher.source)


def _listen(stack: AsyncExitStack, watcher: Watcher, ear: tuple[Ear, Write | None], config: Config) -> None:
    asking = functools.partial(ask_spoken, watcher, config.trigger.question)
    watcher.listener = hearing = Hearing(*ear, config.voice.on_speech, asking)
    stack.push_async_callback(hearing.close)


def _progress(opening: Opening, watchdog: Watchdog) -> Callable[[], None]:
    """What is called for every frame, chunk of sound and answer."""

    def progress() -> None:
        opening.done()
        watchdog.progress()

    return progress


async def _until_told(
    work: Coroutine[Any, Any, None], printer: Printer, on_hangup: Callable[[], None], notifier: Notifier, source: str
) -> None:
    """Do the work to its end, or to SIGTERM. Raises what the work and stdout raise, and CancelledError at Ctrl-C."""
    loop, working, told_to_stop = asyncio.get_running_loop(), asyncio.ensure_future(work), asyncio.Event()
    printer.on_failed = working.cancel

    def stop() -> None:
        told_to_stop.set()
        working.cancel()

    loop.add_signal_handler(signal.SIGTERM, stop)
    loop.add_signal_handler(signal.SIGHUP, on_hangup)
    notifier.notify("READY=1", f"STATUS=watching {source}")
    try:
        await working
    except asyncio.CancelledError:
        printer.check()
        if not told_to_stop.is_set():  # Ctrl-C
            raise
    finally:
        notifier.notify("STOPPING=1")


async def _for_ever() -> None:
    await asyncio.Event().wait()


async def _drained(api: Api) -> None:
    """Let those who wait for an answer have it."""
    api.health.phase = "the agent is stopping"
    await api.desk.drain(DRAIN_S)


async def _watched(watcher: Watcher, items: AsyncIterable[Item], printer: Printer) -> None:
    """Watch to the end of the source, and until all that was answered is printed."""
    await watcher.run(items)
    await printer.room(1)


def _warm_model(config: Config) -> BundleModel:
    """The device's model, opened and warmed up; how fast it was is kept. Raises ModelError."""
    model = open_model(config)
    keep_speed(config, warm_up(model, speed_name(config, model_identity(config))))
    return model


def _watcher(
    loaded: Loaded,
    agent: Agent,
    api: Api | None,
    clock: Clock,
    sources: list[Source],
    progress: Callable[[], None],
    fast: bool,
    as_json: bool,
    printer: Printer,
) -> Watcher:
    config = loaded.config
    live = any(isinstance(source, Supervisor) for source in sources)  # told by the clock, not from the clip's beginning
    began_s = clock.monotonic_s() if live else 0.0

    def on_asked(asked: Asked) -> None:
        if api is not None:
            words = None if config.limits.private else asked.question
            api.desk.record(asked.firing.trigger, words, asked.answer, asked.error)
        printer.put(json_line(asked_record(asked, clock.wall_s())) if as_json else asked_text(asked, began_s))

    watcher = Watcher(
        agent if api is None else api.desk,
        extractor_factory(config)(),
        config.trigger,
        limits_of(loaded),
        on_asked,
        private=config.limits.private,
        source=", ".join(source.describe() for source in sources) or "nothing",
        progress=progress,
        patient=fast,
        look_back=None if api is None else api.senses.look_back,
        witness=None if api is None else api.senses,
    )
    watcher.room = printer.room if fast else None
    return watcher


async def _serve(config: Config, clock: Clock, stack: AsyncExitStack, as_json: bool) -> Api | None:
    """What API, page and broker read; None where none of them is wanted. The API listens before anything large is
    opened: a port that is taken is said at once.
    """
    if not config.api.enabled and not config.mqtt.host:
        return None
    from edge_agent.api.app import Api
    from edge_agent.api.server import listening

    api = Api(config, clock)
    if not config.api.enabled:
        return api
    url = await stack.enter_async_context(listening(api, api_secret(config).value()))
    if as_json:
        emit({"event": "listening", "url": url})
    else:
        click.echo(f"the page is at {url}/, the API at {url}/v1", err=True)
    return api


def _bridge(api: Api, config: Config) -> Bridge:
    from edge_agent.mqtt.bridge import Bridge

    return Bridge(api, config.mqtt, mqtt_secret(config).value(), random.Random())


def _hand_over(api: Api, agent: Agent, config: Config, source: str, sources: list[Source]) -> None:
    """From now on, the API answers."""
    from edge_agent.types import Observation
    from edge_agent.vlm import open_bundle

    bundle = open_bundle(config.model.edge, verify=False)
    api.model, api.encoder_id, api.source = bundle.name, bundle.encoder_id, source
    api.senses.watching = bool(sources)
    api.senses.listening = bool(config.run.microphone or config.run.clip)
    supervised = [one for one in sources if isinstance(one, Supervisor)]
    api.health.sources = [(one.describe(), lambda one=one: one.health) for one in supervised]  # type: ignore[misc]
    api.state = lambda: agent.state(Observation("?"), api.limits)
    api.desk.open(agent)
    api.health.phase = ""


def _show(api: Api, agent: Agent, policy: RememberedPolicy) -> None:
    """From now on, the page can tell what the policy would do."""
    extractor = extractor_factory(api.config)()

    def preview(question: str) -> tuple[SystemState, Decision] | None:
        moment = api.senses.moment(question, api.config.limits.private, api.source)
        if moment is None:
            return None
        state = agent.state(moment, api.limits)
        return state, policy.preview(extractor.observe(moment), state)

    api.preview, api.policy_name = preview, lambda: policy.name
