"""`edge-agent demo`: a real cloud process, the agent and a bundled clip with sound, all in one terminal."""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import AsyncExitStack
from dataclasses import replace
from importlib.resources import as_file, files
from pathlib import Path

import click

from edge_agent.agent import Agent
from edge_agent.asked import Asked
from edge_agent.cli.options import json_option, limits_of, settle
from edge_agent.cli.output import answer_record, emit, how_text, waiting
from edge_agent.cli.running import run
from edge_agent.errors import NoAnswerError
from edge_agent.parts import Limits
from edge_agent.types import Answer, Observation, Route
from edge_agent.watch import Watcher

EASY_QUESTION = "is there a cat in the picture?"
ROUTES = ("local", "cloud", "auto")


@click.command()
@click.option("--fast", is_flag=True, help="Play the clip as fast as it decodes, not in real time.")
@json_option
def command(fast: bool, as_json: bool) -> None:
    """Start a cloud, play a clip, answer by every route, cut the network, and answer once more."""
    with as_file(files("edge_agent") / "assets" / "demo.mp4") as clip:
        run(_demo(Path(clip), fast, Say(as_json)))


class Say:
    """Prints steps and answers for a person, or only the answers as JSON for a program."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json

    def step(self, words: str) -> None:
        if not self.as_json:
            click.secho(words, bold=True)

    def answer(self, asked_for: str, question: str, at_s: float, answer: Answer) -> None:
        if self.as_json:
            emit({"asked_for": asked_for, "question": question, "clip_s": at_s, **answer_record(answer)})
            return
        click.echo(f"  --route {asked_for}: {answer.text}")
        click.echo(how_text(answer))


class EveryRoute:
    """Stands where a watcher wants an agent: the first question goes by each route, the others by the policy alone.

    After each open question comes an easy one, for which the device is mostly sure enough.
    """

    def __init__(self, agents: dict[str, Agent], say: Say) -> None:
        self._agents = agents
        self._say = say
        self.answered: set[Route] = set()
        self.last: Observation | None = None

    async def ask(self, observation: Observation, limits: Limits) -> Answer:
        at_s = observation.frames[-1].timestamp_s
        self.last = observation
        routes = ("auto",) if self.answered else ROUTES
        for asked, names in ((observation, routes), (replace(observation, question=EASY_QUESTION), ("auto",))):
            self._say.step(f'clip at {at_s:.1f} s: "{asked.question}"')
            for name in names:
                answer = await self._agents[name].ask(asked, limits)
                self.answered.add(answer.route)
                self._say.answer(name, asked.question, at_s, answer)
        return answer


async def _demo(clip: Path, fast: bool, say: Say) -> None:
    from edge_agent.cli.build import extractor_factory, open_agent, open_model
    from edge_agent.cli.cloud_process import CloudProcess
    from edge_agent.sources.clip import ClipSource

    async with AsyncExitStack() as stack:
        with waiting("opening the model and starting the cloud", say.as_json):
            books = stack.enter_context(tempfile.TemporaryDirectory(prefix="edge-agent-demo-"))
            model = await asyncio.to_thread(open_model, settle(None).config)
            cloud = await stack.enter_async_context(CloudProcess())
        say.step(f"the cloud listens on {cloud.url}; the clip plays")
        # Books of its own: a demonstration neither spends the user's budget nor fails when that is spent.
        routed = {name: settle(None, route=name, cloud_url=cloud.url) for name in ROUTES}
        settings = {name: loaded.override("run.state_dir", books, "demo") for name, loaded in routed.items()}
        agents = {n: await stack.enter_async_context(open_agent(s.config, model)) for n, s in settings.items()}
        every = EveryRoute(agents, say)
        auto = settings["auto"]

        def told(asked: Asked) -> None:
            if asked.error is not None:
                raise NoAnswerError(asked.error)

        extractor = extractor_factory(auto.config)()
        watcher = Watcher(every, extractor, auto.config.trigger, limits_of(auto), told, source=clip.name, patient=fast)
        source = ClipSource(clip, realtime=not fast)
        await source.open()
        try:
            await watcher.run(source)
        finally:
            await source.close()
        say.step("the cloud is stopped: the last question again, with --route cloud")
        await cloud.stop()
        if every.last is None or every.answered != {Route.LOCAL, Route.CLOUD}:
            raise NoAnswerError("the demo did not get an answer by each route", "run `edge-agent doctor`")
        answer = await agents["cloud"].ask(every.last, limits_of(auto))
        say.answer("cloud", every.last.question, every.last.frames[-1].timestamp_s, answer)
