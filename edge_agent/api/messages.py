"""The messages of a chat as one question: its words, the turns before it, and what it is about."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from edge_agent.api.fields import text_of
from edge_agent.api.refusals import Refusal, bad
from edge_agent.types import Turn

MAX_MESSAGES = 128
MAX_PARTS = 32
SOUND_FORMATS = ("wav", "mp3")
UNHEEDED = ("system", "developer")
ASKERS = ("user", "assistant", *UNHEEDED)


@dataclass(frozen=True, slots=True)
class Sound:
    """An encoded sound and its container's format."""

    data: bytes
    format: str


@dataclass(slots=True)
class Shown:
    """What one message shows beside its words."""

    picture: bytes | None = None
    sound: Sound | None = None
    camera: bool = False
    microphone: bool = False


@dataclass(frozen=True, slots=True)
class Asked:
    """One question. `picture` and `sound` are encoded; `camera` and `microphone`: take what is there now."""

    question: str
    history: tuple[Turn, ...] = ()
    shown: Shown = field(default_factory=Shown)
    unheeded: bool = False  # there were instructions that this model cannot follow


def asked_of(messages: Any) -> Asked:
    """The question that a chat ends with. Raises Refusal.

    Of pictures and sounds the newest count: a question is about one picture and one sound.
    """
    if not isinstance(messages, list) or not 0 < len(messages) <= MAX_MESSAGES:
        raise bad(f"messages is no list of 1 to {MAX_MESSAGES} messages", "give the chat so far", "messages")
    shown, turns, said, unheeded = Shown(), list[Turn](), list[str](), False
    for index, message in enumerate(messages):
        where = f"messages[{index}]"
        role = message.get("role") if isinstance(message, Mapping) else None
        if role not in ASKERS:
            raise bad(f"{where}.role is {role!r:.40}", f"one of {', '.join(ASKERS)}; there are no tools", where)
        if role in UNHEEDED:
            unheeded = True
            continue
        here = Shown()
        text = _content(message.get("content"), f"{where}.content", here)
        if role == "user":
            said.append(text)
            _renew(shown, here)
        elif said:
            turns.append(Turn("\n".join(said), text))
            said = []
    if not said:
        raise bad("the last message is not the user's", "end with a question", "messages")
    return Asked("\n".join(said).strip(), tuple(turns), shown, unheeded)


def _renew(shown: Shown, here: Shown) -> None:
    """What is newer stands: a camera or a picture replaces both, a microphone or a sound likewise."""
    if here.picture is not None or here.camera:
        shown.picture, shown.camera = here.picture, here.camera
    if here.sound is not None or here.microphone:
        shown.sound, shown.microphone = here.sound, here.microphone


def _content(content: Any, where: str, here: Shown) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    if not isinstance(content, list) or len(content) > MAX_PARTS:
        raise bad(f"{where} is neither text nor a list of at most {MAX_PARTS} parts", "give text or parts", where)
    texts = []
    for index, part in enumerate(content):
        at = f"{where}[{index}]"
        if not isinstance(part, Mapping):
            raise bad(f"{at} is no part", 'e.g. {"type": "text", "text": "..."}', at)
        if part.get("type") == "text":
            texts.append(text_of(part, "text", at))
        else:
            _show(part, at, here)
    return "\n".join(texts)


def _show(part: Mapping[str, Any], at: str, here: Shown) -> None:
    kind = part.get("type")
    if kind in ("image_url", "camera"):
        if here.picture is not None or here.camera:
            raise bad(f"{at} is a second picture", "a question is about one picture", at)
        if kind == "camera":
            here.camera = True
        else:
            here.picture = _picture(part.get("image_url"), f"{at}.image_url")
    elif kind in ("input_audio", "microphone"):
        if here.sound is not None or here.microphone:
            raise bad(f"{at} is a second sound", "a question is about one sound", at)
        if kind == "microphone":
            here.microphone = True
        else:
            here.sound = _sound(part.get("input_audio"), f"{at}.input_audio")
    else:
        known = "text, image_url, input_audio, camera, microphone"
        raise bad(f"{at} is a part of the type {str(kind)[:40]!r}", f"known: {known}", at)


def _picture(named: Any, at: str) -> bytes:
    """The bytes of a data URL. Any other address is refused: a device that fetches what it is told to is a way in."""
    url = text_of(named, "url", at) if isinstance(named, Mapping) else named
    if not isinstance(url, str):
        raise bad(f"{at} is no object with a url", "give a data URL", at)
    head, comma, data = url.partition(",")
    if not head.startswith("data:"):
        words = f"{at} is {url[:60]!r}; pictures are not fetched from elsewhere"
        raise Refusal(400, words, "send it as data:image/jpeg;base64,...", param=at, code="remote_image")
    if not comma or not head.endswith(";base64"):
        raise bad(f"{at} is no base64 data URL", "data:image/jpeg;base64,...", at)
    return _decoded(data, at)


def _sound(named: Any, at: str) -> Sound:
    if not isinstance(named, Mapping):
        raise bad(f"{at} is no object", 'give {"data": ..., "format": "wav"}', at)
    kind = named.get("format")
    if kind not in SOUND_FORMATS:
        raise bad(f"{at}.format is {str(kind)[:40]!r}", f"one of {', '.join(SOUND_FORMATS)}", f"{at}.format")
    return Sound(_decoded(text_of(named, "data", at), f"{at}.data"), kind)


def _decoded(text: str, at: str) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise bad(f"{at} is not base64: {error}", "encode the file's bytes", at) from error
    if not data:
        raise bad(f"{at} is empty", "encode the file's bytes", at)
    return data
