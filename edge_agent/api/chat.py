"""`POST /v1/chat/completions`: a request becomes a question to the same agent that watches; whole or as a stream."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeAlias

from aiohttp import web

from edge_agent.agent import check_question
from edge_agent.api.chat_request import ChatRequest, read_chat
from edge_agent.api.desk import Desk
from edge_agent.api.messages import Asked
from edge_agent.api.refusals import Refusal, refusal_of
from edge_agent.api.replies import DONE, PING, ROUTE_HEADER, Reply, edge_of, event, finish_reason, provisional_event
from edge_agent.api.senses import Senses
from edge_agent.api.spoken import Spoken, spoken_text
from edge_agent.clock import Clock, within
from edge_agent.errors import EdgeAgentError
from edge_agent.parts import Limits, OnProvisional
from edge_agent.sources.photo import decode_photo
from edge_agent.sources.sound import decode_sound
from edge_agent.types import Answer, AudioWindow, Frame, Observation, Route, TokenEvent

FIRST_BYTE_S = 10.0  # until then an error is an HTTP status; after that the stream is begun, and pinged
PING_S = 15.0
STREAM = {"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"}


Pieces: TypeAlias = "asyncio.Queue[tuple[Route, TokenEvent] | str | None]"
"""What an answer is made of as it comes: tokens, provisional words, None at its end."""


@dataclass(frozen=True, slots=True)
class Chat:
    """The handler. `private`: the device keeps everything to itself; `source` names what is watched; `fingerprint`
    names the device's model; a body has at most `most_bytes`.
    """

    desk: Desk
    senses: Senses
    clock: Clock
    limits: Limits
    private: bool
    source: str
    fingerprint: str
    most_bytes: int

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        """Raises Refusal or another EdgeAgentError; a client that goes away cancels its question."""
        body = await read_body(request, self.desk, self.most_bytes)
        chat = await asyncio.to_thread(read_chat, body, self.limits, self.private)
        del body
        await self.senses.look_again()
        observation, about = await asyncio.to_thread(self.observe, chat)
        reply = Reply.begin(chat, self.clock.wall_s(), self.fingerprint)
        if chat.stream:
            return await self._stream(request, reply, observation, about)
        answer = await self._ask(chat, observation, None)
        headers = {ROUTE_HEADER: answer.route.value}
        return web.json_response(reply.completion(answer, about), headers=headers)

    def observe(self, chat: ChatRequest) -> tuple[Observation, str]:
        """What a request is about, and that in words. Pictures are decoded here, by their declared size first."""
        asked = chat.asked
        check_question(asked.question)
        if not (asked.shown.picture or asked.shown.sound or asked.shown.camera or asked.shown.microphone):
            moment = self.senses.moment(asked.question, chat.private, self.source)
            if moment is not None:
                return replace(moment, history=asked.history), f"this moment of {self.source}"
            about = "the words alone: nothing was shown and nothing is watched"
            return Observation(asked.question, history=asked.history, private=chat.private, source="api"), about
        frames, sound, about = self._shown(asked)
        observation = Observation(
            asked.question, frames, sound, asked.history, private=chat.private, source=f"api: {about}"
        )
        return observation, about

    def _shown(self, asked: Asked) -> tuple[tuple[Frame, ...], AudioWindow | None, str]:
        shown, about = asked.shown, []
        frames, sound = self.senses.now(shown.camera, shown.microphone)
        if shown.picture is not None:
            frames = (Frame(decode_photo(shown.picture, "the picture"), self.clock.monotonic_s()),)
        if shown.sound is not None:
            sound = decode_sound(shown.sound.data, shown.sound.format, "the sound")
        about += ["the camera"] * shown.camera + ["the picture sent"] * (shown.picture is not None)
        about += ["the microphone"] * shown.microphone + ["the sound sent"] * (shown.sound is not None)
        return frames, sound, " and ".join(about)

    async def _ask(
        self, chat: ChatRequest, observation: Observation, on_token: Any, on_provisional: OnProvisional | None = None
    ) -> Answer:
        question = None if observation.private else observation.question
        try:
            answer = await self.desk.ask(
                observation,
                chat.limits,
                on_token,
                manner=chat.manner,
                route=chat.route,
                origin="api",
                on_provisional=on_provisional,
            )
        except EdgeAgentError as error:
            self.desk.record("api", question, None, str(error))
            raise
        self.desk.record("api", question, answer, None)
        return answer

    async def _stream(
        self, request: web.Request, reply: Reply, observation: Observation, about: str
    ) -> web.StreamResponse:
        pieces: Pieces = asyncio.Queue()  # bounded by max_new_tokens
        chat = reply.request
        asking = asyncio.ensure_future(
            self._ask(
                chat,
                observation,
                lambda route, token: pieces.put_nowait((route, token)),
                pieces.put_nowait if chat.provisional else None,
            )
        )
        asking.add_done_callback(lambda _: pieces.put_nowait(None))
        response, spoken = web.StreamResponse(headers=STREAM), Spoken()
        try:
            async for told in _told(pieces, spoken):
                if not response.prepared:
                    if told.text:  # only the device's own words come before the end
                        response.headers[ROUTE_HEADER] = Route.LOCAL.value
                    await _begin(response, request, reply)
                if told.provisional is not None:
                    await response.write(provisional_event(told.provisional))
                else:
                    await response.write(reply.chunk({"content": told.text}) if told.text else PING)
            answer = await asking
        except EdgeAgentError as error:
            if not response.prepared:
                raise
            await response.write(event(refusal_of(error).body()))
            await response.write_eof()
            return response
        finally:
            asking.cancel()
            with contextlib.suppress(asyncio.CancelledError, EdgeAgentError):
                await asking
        if not response.prepared:
            response.headers[ROUTE_HEADER] = answer.route.value
            await _begin(response, request, reply)
        rest = spoken.rest(answer, chat.manner.stop)
        if rest:
            await response.write(reply.chunk({"content": rest}))
        ended = finish_reason(answer, chat, spoken_text(answer, chat.manner.stop))
        await response.write(reply.chunk({}, ended, edge=edge_of(answer, chat, about)))
        if chat.include_usage:
            await response.write(reply.usage_chunk(answer))
        await response.write(DONE)
        await response.write_eof()
        return response


async def _begin(response: web.StreamResponse, request: web.Request, reply: Reply) -> None:
    await response.prepare(request)
    await response.write(reply.chunk({"role": "assistant", "content": "", "refusal": None}))


class Told(NamedTuple):
    """What may be told next: words of the answer, words that are provisional, or nothing, as nothing came for long."""

    text: str = ""
    provisional: str | None = None


async def _told(pieces: Pieces, spoken: Spoken) -> AsyncIterator[Told]:
    """What may be told, until the question ends."""
    wait_s = FIRST_BYTE_S
    while True:
        try:
            piece = await within(pieces.get(), wait_s)
        except asyncio.TimeoutError:
            wait_s = PING_S
            yield Told()
            continue
        if piece is None:
            return
        if isinstance(piece, str):
            yield Told(provisional=piece)
            continue
        text = spoken.add(*piece)
        if text:
            yield Told(text)


async def read_body(request: web.Request, desk: Desk, most: int) -> bytes:
    """A JSON body, refused by its headers first. Raises Refusal; aiohttp refuses what turns out larger than allowed."""
    desk.admit()
    if request.content_type != "application/json":
        hint = "Content-Type: application/json"
        raise Refusal(415, f"the body is {request.content_type[:60]}, not JSON", hint, code="not_json")
    length = request.content_length
    if length is not None and length > most:
        words = f"the request has {length} bytes, at most {most} are read"
        raise Refusal(413, words, "send a smaller picture, or raise api.max_body_mb", code="too_large")
    return await request.read()
