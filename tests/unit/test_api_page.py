"""What the page reads of the device: its own files and nothing else, the moment, the records, the masks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from agents import frame, tone
from apis import asking, image_part, look, picture, with_api
from edge_agent.api.mask_file import Masks
from edge_agent.api.page import MAX_MAP
from edge_agent.features import FeatureExtractor
from edge_agent.types import Decision, Frame, Route, SystemState


def test_the_page_and_its_files_are_there_and_no_other_file_is() -> None:
    async def check(_: Any, client: Any) -> None:
        async with client.get("/") as got:
            assert got.status == 200
            assert got.content_type == "text/html"
            assert "script-src 'self'" in got.headers["Content-Security-Policy"]
            text = await got.text()
        assert "http://" not in text
        assert "https://" not in text
        for name, kind in (("main.js", "text/javascript"), ("style.css", "text/css"), ("icon.svg", "image/svg+xml")):
            async with client.get(f"/ui/{name}") as got:
                assert (got.status, got.content_type) == (200, kind)
        for name in ("..%2fpage.py", "page.py", "%2e%2e/app.py", "__init__.py", "nothing.js"):
            async with client.get(f"/ui/{name}") as got:
                assert got.status == 404, name

    with_api(check)


def test_before_anything_is_seen_the_page_is_told_so() -> None:
    async def check(_: Any, client: Any) -> None:
        async with client.get("/edge/v1/now") as got:
            body = await got.json()
        assert (body["image"], body["sound"], body["frame_age_s"], body["watching"]) == (None, None, None, False)
        assert body["blurs_faces"] is False
        for path in ("/edge/v1/frame.jpg", "/edge/v1/decision"):
            async with client.get(path) as got:
                assert (got.status, (await got.json())["error"]["code"]) == (404, "no_picture")

    with_api(check)


def test_the_moment_carries_maps_of_bounded_size_and_the_level_of_the_sound() -> None:
    async def check(api: Any, client: Any) -> None:
        extractor = FeatureExtractor(tile=8)
        pixels = np.random.default_rng(0).integers(0, 255, (720, 1280, 3), dtype=np.uint8)
        look(api, Frame(pixels, 0.0), extractor)
        sound = tone(0.1)
        api.senses.heard(sound, extractor.sound(sound.samples, sound.rate_hz))
        async with client.get("/edge/v1/now") as got:
            body = await got.json()
        assert (body["image"]["width"], body["frame"]) == (1280, 1)
        rows = body["image"]["tiles"]
        assert 100 < len(rows) * len(rows[0]) <= MAX_MAP
        assert all(0 <= value <= 8 for row in rows for value in row)
        assert len(body["sound"]["levels_db"]) == 1
        assert -60 < body["sound"]["levels_db"][0] < 0

    with_api(check)


def test_records_come_in_order_and_only_the_fresh_ones() -> None:
    async def check(_: Any, client: Any) -> None:
        for text in ("one?", "two?"):
            async with client.post("/v1/chat/completions", json=asking(image_part(picture()), text=text)) as got:
                assert got.status == 200
        async with client.post(
            "/v1/chat/completions", json=asking(image_part(picture()), text="secret?", edge={"privacy": "private"})
        ) as got:
            assert got.status == 200
        async with client.get("/edge/v1/records") as got:
            every = await got.json()
        assert [one["question"] for one in every] == ["one?", "two?", None]
        assert (every[0]["answer"], every[0]["route"], every[0]["trigger"]) == ("cup", "local", "api")
        assert every[2]["answer"] is None
        for after, wanted in (("1", 2), ("3", 0), ("x", 3), ("-1", 3), ("9" * 40, 3)):
            async with client.get("/edge/v1/records", params={"after": after}) as got:
                assert len(await got.json()) == wanted

    with_api(check)


def test_the_next_decision_is_about_the_question_that_is_typed() -> None:
    async def check(api: Any, client: Any) -> None:
        asked: list[str] = []

        def preview(question: str) -> tuple[SystemState, Decision]:
            asked.append(question)
            return SystemState(edge_load=0.5), Decision(Route.CLOUD, "fixed", "as told")

        api.preview = preview
        async with client.get("/edge/v1/decision", params={"question": "a cat?"}) as got:
            body = await got.json()
        assert (body["question"], body["decision"]["route"], body["state"]["edge_load"]) == ("a cat?", "cloud", 0.5)
        async with client.get("/edge/v1/decision") as got:
            assert (await got.json())["question"] == "what is in the picture?"
        assert asked == ["a cat?", "what is in the picture?"]

    with_api(check)


def test_masks_are_drawn_by_json_of_this_origin_and_make_the_past_forgotten(tmp_path: Path) -> None:
    async def check(api: Any, client: Any) -> None:
        async with client.put("/edge/v1/masks", json={"masks": []}) as got:
            assert got.status == 503
        api.masks = Masks("0,0,1,0.1", tmp_path / "masks.json")
        api.masks.changed = api.senses.forget
        look(api, frame(), FeatureExtractor())
        for body, headers, wanted in (
            ('{"masks": []}', {"Content-Type": "text/plain"}, 415),
            ('{"masks": [[0]]}', {"Content-Type": "application/json"}, 400),
            (" " * 30_000, {"Content-Type": "application/json"}, 413),
        ):
            async with client.put("/edge/v1/masks", data=body, headers=headers) as got:
                assert got.status == wanted
        assert api.senses.frame is not None
        async with client.put("/edge/v1/masks", json={"masks": [[0.5, 0.5, 0.5, 0.5]]}) as got:
            assert await got.json() == {"fixed": [[0.0, 0.0, 1.0, 0.1]], "masks": [[0.5, 0.5, 0.5, 0.5]]}
        assert api.senses.frame is None
        assert api.senses.moment("?", False, "") is None

    with_api(check)
