"""Where connections begin: HELLO makes a session, RESUME finds the one that lost its connection."""

from __future__ import annotations

import asyncio
import logging
import secrets

from cloud_stub.credit import SESSION_BYTES
from cloud_stub.link import Link
from cloud_stub.session import Session
from cloud_stub.turns import TurnDesk
from edge_agent.clock import within
from edge_agent.transport import features
from edge_agent.transport.frames import Frame, FrameError, FrameType, decode_frame, encode_frame
from edge_agent.transport.messages import Hello, Welcome, error_frame
from edge_agent.transport.numbering import Numbering
from edge_agent.transport.resume import WINDOW_S, Resume

log = logging.getLogger("cloud_stub")

HELLO_S = 10.0


class Reception:
    """All sessions of one cloud. Those without a connection are kept for `window_s`, then their turns are cancelled."""

    def __init__(self, desk: TurnDesk, heartbeat_s: int, max_sessions: int, window_s: float = WINDOW_S) -> None:
        self._desk = desk
        self._heartbeat_s = heartbeat_s
        self._max_sessions = max_sessions
        self._window_s = window_s
        self._sessions: dict[str, Session] = {}
        self._parked: dict[str, asyncio.TimerHandle] = {}
        self._greeting = 0
        self._ending: set[asyncio.Task[None]] = set()

    @property
    def count(self) -> int:
        """Sessions, connected or not, and connections that have not said who they are."""
        return len(self._sessions) + self._greeting

    @property
    def full(self) -> bool:
        """Whether there is no place for one more connection. A session that waits for its client takes none."""
        return self.count - len(self._parked) >= self._max_sessions

    async def receive(self, link: Link, owner: str) -> None:
        """Serve a connection of `owner` (its token's name) until it closes."""
        self._greeting += 1
        try:
            session, token = await self._greet(link, owner)
        except FrameError as error:
            await _turn_away(link, error)
            return
        except (ConnectionError, asyncio.TimeoutError):
            log.info("a client went away before it said who it is")
            await link.close(1000)
            return
        finally:
            self._greeting -= 1
        await session.serve(link)
        if session.ended:
            self._forget(token)
        elif not session.connected:
            self._park(token)

    async def drain(self, drain_s: float) -> None:
        """Let the running turns of every session end for at most `drain_s`, then close."""
        await asyncio.gather(*(session.drain(drain_s) for session in list(self._sessions.values())))

    async def close(self) -> None:
        """End every session."""
        for timer in self._parked.values():
            timer.cancel()
        self._parked.clear()
        await asyncio.gather(*(session.end() for session in self._sessions.values()), *self._ending)

    async def _greet(self, link: Link, owner: str) -> tuple[Session, str]:
        data = await within(link.receive(), HELLO_S)
        if data is None:
            raise ConnectionResetError
        frame = decode_frame(data)
        if frame.stream != 0 or frame.seq != 0:
            raise FrameError(f"{frame.name} came where HELLO was expected")
        if frame.type == FrameType.RESUME:
            return await self._resume(link, owner, frame)
        if frame.type != FrameType.HELLO or frame.session != 0:
            raise FrameError(f"{frame.name} came where HELLO was expected")
        hello = Hello.from_frame(frame)
        if 1 not in hello.versions:
            raise FrameError("no version in common; this is EAP/1", code="version")
        return await self._welcome(link, owner, hello)

    async def _welcome(self, link: Link, owner: str, hello: Hello) -> tuple[Session, str]:
        backend, prices = self._desk.backend, self._desk.prices
        drafts = (features.DRAFT,) if backend.tokenizer_id else ()
        resumes = (features.RESUME,) if link.resumable else ()
        credit = (features.CREDIT,) if link.resumable else ()  # the body of a POST is on its way already
        offered = (*drafts, features.HAVE, features.BASE, *resumes, *credit) if hello.features else ()
        spoken = frozenset(offered).intersection(hello.features)
        number = secrets.randbits(64) | 1 if link.resumable else 0  # who posts has to number its frames before
        session = Session(self._desk, f"{owner}/{hello.device}", number, spoken)
        token = secrets.token_hex(16)
        welcome = Welcome(
            version=1,
            model=backend.model,
            codecs=backend.codecs,
            encoder_ids=backend.encoder_ids,
            hidden_size=backend.hidden_size,
            limits=self._desk.limits,
            price_prompt_microusd=prices.prompt,
            price_completion_microusd=prices.completion,
            heartbeat_s=self._heartbeat_s,
            detail_views=backend.detail_views,
            features=offered,
            tokenizer_id=backend.tokenizer_id or "" if features.DRAFT in spoken else "",
            resume_token=token if session.resumable else "",
            credit=SESSION_BYTES if features.CREDIT in spoken else None,
        )
        self._sessions[token] = session
        try:
            await session.begin(link, welcome.to_frame())
        except BaseException:
            self._forget(token)
            raise
        return session, token

    async def _resume(self, link: Link, owner: str, frame: Frame) -> tuple[Session, str]:
        resume = Resume.from_frame(frame)
        session = self._sessions.get(resume.token)
        mine = session is not None and session.principal.split("/", 1)[0] == owner and session.number == frame.session
        if session is None or session.ended or not mine or not link.resumable:
            raise FrameError("this session is not known here (any more)", code="forgotten", close_code=1000)
        if (timer := self._parked.pop(resume.token, None)) is not None:
            timer.cancel()
        await session.resume(link, resume)
        return session, resume.token

    def _park(self, token: str) -> None:
        """Keep a session that lost its connection; of more than may be connected, the one that lost it first goes."""
        while len(self._parked) >= self._max_sessions:
            self._expire(next(iter(self._parked)))
        loop = asyncio.get_running_loop()
        self._parked[token] = loop.call_later(self._window_s, self._expire, token)

    def _expire(self, token: str) -> None:
        session = self._sessions.get(token)
        self._forget(token)
        if session is not None:
            task = asyncio.get_running_loop().create_task(session.end())
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)

    def _forget(self, token: str) -> None:
        self._sessions.pop(token, None)
        if (timer := self._parked.pop(token, None)) is not None:
            timer.cancel()


async def _turn_away(link: Link, error: FrameError) -> None:
    log.info("turning a client away: %s", error.message)
    try:
        await link.send(encode_frame(Numbering().stamp(error_frame(error.code, error.message), 0)))
    except (ConnectionError, asyncio.TimeoutError):
        log.info("a client went away")
    await link.close(error.close_code, error.code.encode())
