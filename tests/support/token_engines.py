"""A vLLM that serves our own decoder, for tests: reads prompts by a bundle's tokenizer and tells tokens by their ids,
in the shapes that 0.32 was seen to send.
"""

from __future__ import annotations

import json
from typing import Any

from aiohttp import web

from edge_agent.vlm import Bundle
from edge_agent.vlm.prompt import load_tokenizer
from engines import Engine, tensor_in

ASK, REPLY, END, IMAGE = 1, 2, 3, 5


class TokenEngine(Engine):
    """Says the tokens of `answer` and END, whatever was asked, from where the last message of the answer leaves off.

    `splits` False: it reads texts by other tokens than the bundle does. `tells` False: no ids in a stream.
    """

    def __init__(self, bundle: Bundle, answer: str) -> None:
        super().__init__()
        self.tokenizer = load_tokenizer(bundle.path / "tokenizer.json")
        self.answer = [*self.ids(answer), END]
        self.splits = True
        self.tells = True
        self.garbled: dict[str, Any] = {}

    def ids(self, text: str) -> list[int]:
        made: list[int] = self.tokenizer.encode(text, add_special_tokens=False).ids
        return made

    def prompt(self, body: dict[str, Any]) -> tuple[list[int], list[int]]:
        """The tokens before the answer, and those of it that are there already."""
        made: list[int] = []
        messages = list(body["messages"])
        begun = messages.pop()["content"] if body.get("continue_final_message") else ""
        for one in messages:
            parts = one["content"] if isinstance(one["content"], list) else [{"type": "text", "text": one["content"]}]
            rows = sum(len(tensor_in(part)) for part in parts if part["type"] == "image_embeds")
            text = "".join(part["text"] for part in parts if part["type"] == "text")
            made += [IMAGE] * rows
            made += [*self.ids(text), END] if one["role"] == "assistant" else [ASK, *self.ids(text), REPLY]
        return made, self.ids(begun) if self.splits else [*self.ids(begun), REPLY]

    def whole(self, body: dict[str, Any]) -> web.Response:
        before, begun = self.prompt(body)
        if not self.splits:
            before = [REPLY, *before]
        places: list[Any] = [None] * len(before)
        for at, token in enumerate(begun):
            said = self.answer[at] if at < len(self.answer) else END
            places.append({str(said): {"logprob": -0.25, "rank": 1, "decoded_token": "x"}})
            places[-1].setdefault(str(token), {"logprob": -9.0, "rank": 77, "decoded_token": "y"})
        made = {
            "choices": [self._choice(self.answer[len(begun)] if len(begun) < len(self.answer) else END)],
            "prompt_token_ids": [*before, *begun],
            "prompt_logprobs": places,
        }
        return web.json_response(made | self.garbled)

    def _choice(self, token: int) -> dict[str, Any]:
        told = {"token": "x", "logprob": -0.25, "top_logprobs": [{"token": "x", "logprob": -0.25}]}
        return {"message": {"content": "x"}, "token_ids": [token], "logprobs": {"content": [told]}}

    async def _speak(self, response: web.StreamResponse) -> None:
        body = self.bodies[-1]
        _, begun = self.prompt(body)
        for token in self.answer[len(begun) :][: body["max_tokens"]]:
            choice = {"index": 0, "delta": {"content": " x"}, "finish_reason": "stop" if token == END else None}
            told = self._choice(token) if self.tells else {}
            await response.write(f"data: {json.dumps({'choices': [{**told, **choice}]})}\n\n".encode())
        await response.write(b"data: [DONE]\n\n")
