"""Prompts of the idefics3 family (SmolVLM): its chat template and its picture placeholders, written out by us."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from edge_agent.errors import ModelError
from edge_agent.types import F32, Embeddings, Modality, Turn
from edge_agent.vlm.bundle import Bundle
from edge_agent.vlm.evidence import checked
from edge_agent.vlm.manifest import read_json, verify_hint
from edge_agent.vlm.prompt import Chunk, Piece, Prompt, check_question, check_text, end_tokens, load_tokenizer, too_long

IMAGE, FAKE, WHOLE, END = "<image>", "<fake_token_around_image>", "<global-img>", "<end_of_utterance>"
TEMPLATES = ("chat_template.jinja", "chat_template.json", "processor_config.json", "tokenizer_config.json")


@dataclass(frozen=True, slots=True)
class Picture:
    """The views of one picture: `rows` x `columns` tiles (0 x 0: none), then the whole."""

    rows: int
    columns: int
    views: tuple[Embeddings, ...]

    def text(self, tokens: int) -> str:
        """Its placeholders: one IMAGE for each token of each view."""
        whole = f"{FAKE}{WHOLE}{IMAGE * tokens}{FAKE}"
        if not self.rows:
            return whole
        tiles = ""
        for row in range(1, self.rows + 1):
            line = (f"{FAKE}<row_{row}_col_{at}>{IMAGE * tokens}" for at in range(1, self.columns + 1))
            tiles += "".join(line) + "\n"
        return f"{tiles}\n{whole}"


class ChatWriter:
    """Writes `<|im_start|>User:[pictures]question<end_of_utterance>\\nAssistant:`, earlier turns before it; pictures
    stand in the first of them.
    """

    def __init__(self, bundle: Bundle) -> None:
        self.tokenizer = load_tokenizer(bundle.path / "tokenizer.json")
        self.ends = end_tokens(bundle.path)
        self._bundle = bundle
        _check_template(bundle.path)
        names = {name: self.tokenizer.token_to_id(name) for name in (IMAGE, FAKE, WHOLE, END)}
        missing = [name for name, number in names.items() if number is None]
        if missing:
            raise ModelError(f"{bundle.path / 'tokenizer.json'} has no {', '.join(missing)}", verify_hint(bundle.path))
        self._image, self._end = names[IMAGE], names[END]
        self._special = [token.content for token in self.tokenizer.get_added_tokens_decoder().values()]

    def write(
        self, embeddings: Sequence[Embeddings], question: str, history: Sequence[Turn], max_new_tokens: int
    ) -> Prompt:
        pictures, bundle = pictures_of(embeddings, self._bundle), self._bundle
        views = [checked(one, bundle, bundle.encoder_id, bundle.tokens_per_image) for p in pictures for one in p.views]
        check_question(question)
        room = bundle.context - max_new_tokens
        if len(views) * bundle.tokens_per_image >= room:
            words = (
                f"{len(views)} views of {bundle.tokens_per_image} tokens are over the {bundle.context} of {bundle.name}"
            )
            raise ModelError(words, "send fewer pictures, or without splitting")
        turns = list(history)
        while True:
            ids = self._ids(pictures, question, turns)
            if len(ids) <= room:
                return Prompt(self._chunks(ids, views))
            if not turns:
                text = len(ids) - len(views) * bundle.tokens_per_image
                raise too_long(text, text - (len(ids) - room))
            turns.pop(0)

    def _ids(self, pictures: Sequence[Picture], question: str, turns: Sequence[Turn]) -> list[int]:
        seen = "".join(one.text(self._bundle.tokens_per_image) for one in pictures)
        text = "<|im_start|>"
        for index, (asked, answer) in enumerate([*((t.question, t.answer) for t in turns), (question, None)]):
            text += f"User:{seen}" if index == 0 and seen else "User: "
            text += f"{self._plain(asked)}{END}\nAssistant:"
            if answer is not None:
                text += f" {self._plain(answer)}{END}\n"
        ids: list[int] = self.tokenizer.encode(text).ids
        return ids

    def _plain(self, text: str) -> str:
        """The text of people, in which no special token can hide."""
        check_text(text)
        for name in self._special:
            text = text.replace(name, f"{name[0]} {name[1:]}")
        return text

    def _chunks(self, ids: list[int], views: list[F32]) -> tuple[Chunk, ...]:
        """What is before the text of the first turn, then each turn; pictures in place of their tokens."""
        at = [index for index, token in enumerate(ids) if token == self._image]
        tokens = self._bundle.tokens_per_image
        if len(at) != len(views) * tokens:
            folder = self._bundle.path
            raise ModelError(f"{folder / 'tokenizer.json'} splits {IMAGE} into pieces", verify_hint(folder))
        begin = at[-1] + 2 if at else 0
        ends = [index + 1 for index, token in enumerate(ids) if token == self._end and index >= begin]
        cuts = [0, *([begin] if begin else []), *ends[1::2], len(ids)]
        starts = dict(zip(at[::tokens], views, strict=True))
        return tuple(self._pieces(ids, first, last, starts) for first, last in pairwise(cuts))

    def _pieces(self, ids: list[int], first: int, last: int, starts: dict[int, F32]) -> Chunk:
        made, index = [], first
        while index < last:
            if index in starts:
                made.append(Piece(index, data=starts[index]))
            else:
                until = next((i for i in range(index, last) if i in starts), last)
                made.append(Piece(index, tuple(ids[index:until])))
            index += made[-1].rows
        return tuple(made)


def pictures_of(embeddings: Sequence[Embeddings], bundle: Bundle) -> list[Picture]:
    """The views, told apart by their places: the whole picture comes last. Raises ModelError."""
    made, tiles = [], []
    for one in embeddings:
        if one.modality is not Modality.IMAGE:
            raise ModelError(f"{bundle.name} reads pictures, not {one.modality.value}", "ask about the picture")
        if one.place is not None:
            tiles.append(one)
            continue
        places = [tile.place for tile in tiles]
        rows, columns = max((p[0] for p in places if p), default=0), max((p[1] for p in places if p), default=0)
        if places != [(row, column) for row in range(1, rows + 1) for column in range(1, columns + 1)]:
            raise ModelError(f"the tiles of a picture are not {rows} x {columns} in order", "encode it again")
        made.append(Picture(rows, columns, (*tiles, one)))
        tiles = []
    if tiles:
        raise ModelError(f"{len(tiles)} tiles came without their whole picture", "encode it again")
    return made


def _check_template(folder: Path) -> None:
    """Raises ModelError where the folder's chat template is not the one that is written here; none is fine."""
    for name in TEMPLATES:
        path = folder / name
        if not path.is_file():
            continue
        text = path.read_text("utf-8") if path.suffix == ".jinja" else read_json(path).get("chat_template")
        if isinstance(text, str):
            if not all(part in text for part in ("<|im_start|>", "capitalize", END, "Assistant:")):
                raise ModelError(f"{path} is another chat template than SmolVLM's", "choose a SmolVLM-Instruct model")
            return
