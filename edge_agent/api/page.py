"""What the page shows: its own files, the live picture with its features, the last answers, the policy's next move."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from aiohttp import web

from edge_agent.api.desk import Record, figures_of
from edge_agent.api.fields import parse_object
from edge_agent.api.refusals import Refusal
from edge_agent.api.senses import LEVELS
from edge_agent.types import F32, Decision, SoundFeatures, SystemState
from edge_agent.values import plain

if TYPE_CHECKING:
    from edge_agent.api.app import Api

KINDS = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
MAX_MASK_BYTES = 20_000
MAX_MAP = 1200  # tiles of a map that is sent
Preview = Callable[[str], tuple[SystemState, Decision] | None]
"""What the policy would do about a question now, with the state it would see; None where nothing is seen."""


@dataclass(frozen=True, slots=True)
class Page:
    """The handlers behind the page."""

    api: Api

    def add_to(self, app: web.Application) -> None:
        """Add the routes."""
        router = app.router
        router.add_get("/", self._index)
        router.add_get("/ui/{name}", self._file)
        router.add_get("/edge/v1/now", self._now)
        router.add_get("/edge/v1/frame.jpg", self._frame)
        router.add_get("/edge/v1/records", self._records)
        router.add_get("/edge/v1/decision", self._decision)
        router.add_get("/edge/v1/masks", self._masks)
        router.add_put("/edge/v1/masks", self._draw)

    async def _index(self, _: web.Request) -> web.Response:
        return _static("index.html")

    async def _file(self, request: web.Request) -> web.Response:
        return _static(request.match_info["name"])

    async def _now(self, _: web.Request) -> web.Response:
        return web.json_response(await asyncio.to_thread(self.now))

    def now(self) -> dict[str, Any]:
        """This moment in numbers."""
        api, senses = self.api, self.api.senses
        ready, health = api.health.ready()
        image, motion, sound = senses.image, senses.motion, senses.sound
        age_s = senses.frame_age_s
        return {
            "ready": ready,
            "reasons": health["reasons"],
            "questions_inside": api.desk.inside,
            "model": api.model,
            "policy": api.policy_name(),
            "source": api.source,
            "private": api.config.limits.private,
            "blurs_faces": api.config.run.blur_faces,
            "watching": senses.watching,
            "question": api.config.trigger.question,
            "frame": senses.frames,
            "frame_age_s": None if age_s is None else round(age_s, 3),
            "image": None if image is None else {**plain(_numbers(image)), "tiles": _map(image.tile_entropy_bits)},
            "motion": None if motion is None else {**plain(_numbers(motion)), "tiles": _map(motion.tile_mean_abs_diff)},
            "sound": None
            if sound is None or not len(sound.energy)
            else {**_sound(sound), "levels_db": list(senses.levels_db), "most": LEVELS},
        }

    async def _frame(self, request: web.Request) -> web.Response:
        tag, data = await self.api.picture.after(request.headers.get("If-None-Match"))
        if data is None:
            return web.Response(status=304, headers={"ETag": tag})
        return web.Response(body=data, content_type="image/jpeg", headers={"ETag": tag})

    async def _records(self, request: web.Request) -> web.Response:
        text = request.query.get("after", "0")
        after = int(text) if text.isascii() and text.isdigit() and len(text) < 16 else 0
        return web.json_response([_told(one) for one in self.api.desk.records if one.number > after])

    async def _decision(self, request: web.Request) -> web.Response:
        question = request.query.get("question") or self.api.config.trigger.question
        made = await asyncio.to_thread(self.api.preview, question[:2000]) if self.api.preview else None
        if made is None:
            raise Refusal(404, "nothing is seen now", "start the agent with --camera URI", code="no_picture")
        state, decision = made
        return web.json_response({"question": question, "decision": plain(decision), "state": plain(state)})

    async def _masks(self, _: web.Request) -> web.Response:
        masks = self.api.masks
        return web.json_response({"fixed": [], "masks": []} if masks is None else masks.plain())

    async def _draw(self, request: web.Request) -> web.Response:
        masks = self.api.masks
        if masks is None:
            raise Refusal(503, "the agent is still starting", "ask again in a moment", retry_after_s=1)
        if request.content_type != "application/json":
            raise Refusal(415, "the body is not JSON", "Content-Type: application/json", code="not_json")
        if (request.content_length or 0) > MAX_MASK_BYTES:
            raise Refusal(413, "that are too many masks", "draw fewer", code="too_large")
        body = await request.read()
        masks.draw(parse_object(body))
        return web.json_response(masks.plain())


def _sound(sound: SoundFeatures) -> dict[str, Any]:
    made: dict[str, Any] = plain({"energy": float(sound.energy.mean()), "flux": float(sound.flux.max())})
    return made


def _numbers(features: Any) -> dict[str, Any]:
    names = ("width", "height", "entropy_bits", "edge_density", "mean_abs_diff", "changed_share", "valid")
    return {name: getattr(features, name) for name in names if hasattr(features, name)}


def _map(tiles: F32) -> list[list[float]]:
    """A map [rows, cols] as lists, every second row and column of it as long as it is too large to be sent."""
    while tiles.size > MAX_MAP:
        tiles = tiles[::2, ::2]
    made: list[list[float]] = [[round(float(value), 2) for value in row] for row in tiles]
    return made


def _told(record: Record) -> dict[str, Any]:
    answer = record.answer
    made: dict[str, Any] = {
        "number": record.number,
        "time_s": record.time_s,
        "trigger": record.trigger,
        "question": record.question,
        "error": record.error,
    }
    if answer is not None:
        made |= {"answer": None if record.question is None else answer.text, **figures_of(answer)}
    told: dict[str, Any] = plain(made)
    return told


@lru_cache(maxsize=1)
def _files() -> dict[str, bytes]:
    """The page's files, by name; nothing else can be asked for."""
    folder = files("edge_agent.api") / "ui"
    return {one.name: one.read_bytes() for one in folder.iterdir() if f".{one.name.rpartition('.')[2]}" in KINDS}


def _static(name: str) -> web.Response:
    data = _files().get(name)
    if data is None:
        raise Refusal(404, f"there is no file {name[:60]!r}", "see docs/api.md")
    kind = KINDS[f".{name.rpartition('.')[2]}"]
    return web.Response(body=data, content_type=kind, charset="utf-8")
