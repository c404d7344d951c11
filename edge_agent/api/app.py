"""The HTTP application: its routes, what they share, and how the parts of a running agent are handed to it."""

from __future__ import annotations

import asyncio
import platform
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from edge_agent import __version__
from edge_agent.api.access import Access, guard
from edge_agent.api.chat import Chat
from edge_agent.api.chat_request import MODEL, MODELS
from edge_agent.api.desk import Desk
from edge_agent.api.health import Health
from edge_agent.api.mask_file import Masks
from edge_agent.api.metrics import CONTENT_TYPE, Metrics
from edge_agent.api.page import Page, Preview
from edge_agent.api.picture import LivePicture
from edge_agent.api.refusals import Refusal
from edge_agent.api.senses import Senses
from edge_agent.clock import Clock
from edge_agent.config import Config
from edge_agent.parts import Limits, Veil
from edge_agent.types import SystemState


@dataclass(slots=True)
class Api:
    """Everything that the routes need. Made before the model is open, filled in while the agent starts."""

    config: Config
    clock: Clock
    model: str = ""
    encoder_id: str = ""
    source: str = "nothing"
    desk: Desk = field(init=False)
    senses: Senses = field(init=False)
    health: Health = field(init=False)
    metrics: Metrics = field(init=False)
    picture: LivePicture = field(init=False)
    state: Any = None  # () -> SystemState, once the agent is open
    masks: Masks | None = None
    veil: Veil | None = None
    preview: Preview | None = None
    policy_name: Callable[[], str] = lambda: ""

    def __post_init__(self) -> None:
        self.metrics = Metrics(self.gauges)
        self.desk = Desk(self.clock, self.config.api.waiting, self.metrics.ended)
        self.senses = Senses(self.clock)
        self.picture = LivePicture(self)
        self.health = Health(self.clock, self.desk, self.senses)

    @property
    def limits(self) -> Limits:
        """Those of a question that names none."""
        limits = self.config.limits
        return Limits(limits.deadline_ms, limits.max_cost_usd, limits.max_celsius, limits.min_memory_mb)

    @property
    def most_bytes(self) -> int:
        """The largest body."""
        return int(self.config.api.max_body_mb * 1e6)

    def gauges(self) -> dict[str, tuple[str, float | None]]:
        """The moment in numbers."""
        ready, _ = self.health.ready()
        state: SystemState = self.state() if self.state is not None else SystemState()
        return {
            "ready": ("1 where /readyz says ready", float(ready)),
            "questions_inside": ("Questions being answered or waiting", float(self.desk.inside)),
            "frames_seen": ("Frames that were looked at", float(self.senses.frames)),
            "frame_age_seconds": ("Since the last frame", self.senses.frame_age_s),
            "cloud_reachable": ("1 where the cloud answered lately, 0 where it did not", _flag(state.cloud_reachable)),
            "uplink_mbps": ("Measured on the agent's own traffic", state.uplink_mbps),
            "rtt_ms": ("Of the agent's own packets to the cloud", state.rtt_ms),
            "loss_share": ("Of those packets, the share sent again, 0 to 1", state.loss_share),
            "slowed": ("1 where the board is slowed by heat or power", _flag(state.slowed)),
            "undervoltage": ("1 where the supply is too weak", _flag(state.undervoltage)),
            "power_watts": ("What the board draws", state.power_watts),
            "load_share": ("Load of the processor a core; above 1 work waits", state.edge_load),
            "temperature_celsius": ("The hottest sensor", state.temperature_celsius),
            "memory_available_mb": ("What the system could still give", state.memory_available_mb),
            "budget_left_usd": ("Left of today's budget", state.budget_left_usd),
        }

    def app(self, access: Access) -> web.Application:
        """The application; a server runs it."""
        app = web.Application(middlewares=[guard(access, self.metrics.request)], client_max_size=self.most_bytes)  # type: ignore[list-item]
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/version", self._version)
        app.router.add_get("/v1/models", self._models)
        app.router.add_get("/v1/models/{model}", self._one_model)
        app.router.add_post("/v1/chat/completions", self._chat)
        Page(self).add_to(app)
        return app

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        fingerprint = f"{self.model}@{self.encoder_id[:12]}"
        private = self.config.limits.private
        chat = Chat(
            *(self.desk, self.senses, self.clock, self.limits, private, self.source, fingerprint, self.most_bytes)
        )
        return await chat(request)

    async def _healthz(self, _: web.Request) -> web.Response:
        return web.json_response(self.health.live())

    async def _readyz(self, _: web.Request) -> web.Response:
        ready, body = self.health.ready()
        return web.json_response(body, status=200 if ready else 503)

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(body=await asyncio.to_thread(self.metrics.text), headers={"Content-Type": CONTENT_TYPE})

    async def _version(self, _: web.Request) -> web.Response:
        return web.json_response(
            {
                "version": __version__,
                "model": self.model,
                "encoder_id": self.encoder_id,
                "python": platform.python_version(),
            }
        )

    async def _models(self, _: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [self._described(name) for name in MODELS]})

    async def _one_model(self, request: web.Request) -> web.Response:
        name = request.match_info["model"]
        if name not in MODELS:
            words = f"there is no model {name[:60]!r} here"
            raise Refusal(404, words, f"one of {', '.join(MODELS)}", param="model", code="model_not_found")
        return web.json_response(self._described(name))

    def _described(self, name: str) -> dict[str, Any]:
        created = int(self.clock.wall_s() - (self.clock.monotonic_s() - self.health.started_s))
        return {"id": name, "object": "model", "created": created, "owned_by": MODEL, "edge": {"bundle": self.model}}


def _flag(value: bool | None) -> float | None:
    return None if value is None else float(value)
