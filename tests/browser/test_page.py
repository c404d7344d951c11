"""The page in a real browser against a real agent: ask, look, mask, by keyboard and on a phone, and nothing leaves."""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from apis import Process, process
from media import make_clip

playwright = pytest.importorskip(
    "playwright.sync_api", reason="playwright is not installed: pip install 'edge-agent[browser]'"
)
CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), ""
)
pytestmark = pytest.mark.skipif(not CHROMIUM, reason="there is no Chromium: apt install chromium")
WAIT_MS = 30_000


def agent(folder: Path, **env: str) -> Any:
    """A watching agent with the API; its clip is longer than any of these tests."""
    clip = make_clip(folder / "clip.mp4", [60] * 3000, size=(120, 160), tone_at_s=1.0, contrast=190)
    config = folder / "config.toml"
    config.write_text("[api]\nport = 0\n[trigger]\non_change = true\n")
    home = {"XDG_STATE_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
    arguments = ("run", "--config", str(config), "--clip", str(clip), "--api", "--cloud", "", "--deadline-ms", "60000")
    return process(*arguments, env={**home, **env}, cwd=folder)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Process, Path]]:
    folder = tmp_path_factory.mktemp("agent")
    with agent(folder) as made:
        yield made, folder


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as running:
        made = running.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield made
        made.close()


@pytest.fixture
def page(browser: Any, server: tuple[Process, Path]) -> Iterator[Any]:
    """A fresh page that is ready. Whatever it asks for must be of its own origin; its scripts must not fail."""
    context = browser.new_context(viewport={"width": 1200, "height": 900})
    made, asked, errors = context.new_page(), [], []
    made.set_default_timeout(WAIT_MS)
    made.on("request", lambda request: asked.append(request.url))
    made.on("pageerror", lambda error: errors.append(str(error)))
    made.goto(server[0].url)
    made.get_by_text("ready", exact=True).wait_for()
    yield made
    context.close()
    assert not errors
    assert asked
    assert {url for url in asked if not url.startswith((server[0].url + "/", "blob:"))} == set()


def drawn(page: Any) -> list[int]:
    """The pixels of the picture's canvas, [h * w * 4]."""
    script = """() => { const c = document.getElementById("picture");
        return [c.width, c.height, ...c.getContext("2d").getImageData(0, 0, c.width, c.height).data]; }"""
    return list(page.evaluate(script))


def frame(page: Any) -> np.ndarray:
    """The next picture that the device gives."""
    script = """async () => { for (;;) { const got = await fetch("/edge/v1/frame.jpg");
        if (got.ok) return [...new Uint8Array(await got.arrayBuffer())]; } }"""
    data = page.evaluate(script)
    return cv2.imdecode(np.array(data, np.uint8), cv2.IMREAD_COLOR)


def test_a_question_is_answered_with_its_route_and_reason_by_keyboard_alone(page: Any) -> None:
    page.keyboard.press("/")
    page.keyboard.type("is there a cat in the picture?")
    page.keyboard.press("Enter")
    page.locator("#how", has_text="device").wait_for()
    assert page.locator("#answer").inner_text().strip()
    how = page.locator("#how").inner_text()
    assert how.startswith("device, ")
    assert "about this moment of clip" in how
    row = page.locator("#records tr", has_text="is there a cat in the picture?").first
    row.wait_for()
    assert row.locator("[data-name='asked by']").inner_text() == "api"
    assert row.locator("[data-name='why']").inner_text()


def test_provisional_words_are_shown_as_such_and_make_way_for_the_answer(page: Any) -> None:
    edge = {"route": "cloud", "timings_ms": {"total": 1}, "bytes_up": 1, "cost_usd": 0, "confidence": 1}
    provisional = {"object": "edge.provisional", "choices": [], "provisional": "a dog"}
    answer = [
        {"choices": [{"delta": {"content": "a cat"}}]},
        {"choices": [], "edge": edge | {"about": "", "reason": ""}},
    ]

    def ask(*told: dict[str, Any]) -> Any:
        body = "".join(f"data: {json.dumps(one)}\n\n" for one in told)
        page.unroute_all()
        page.route("**/v1/chat/completions", lambda route: route.fulfill(body=body, content_type="text/event-stream"))
        page.locator("#question").fill("what is it?")
        with page.expect_request("**/v1/chat/completions") as asked:
            page.locator("#ask-button").click()
        page.locator("#ask-button:enabled").wait_for()
        assert json.loads(asked.value.post_data)["edge"]["provisional"] is True
        return page.locator("#answer")

    shown = ask(provisional)
    assert (shown.inner_text(), shown.get_attribute("class")) == ("provisional: a dog", "none")
    shown = ask(provisional, *answer)
    assert (shown.inner_text(), shown.get_attribute("class")) == ("a cat", "")


def test_the_picture_its_numbers_and_the_next_decision_are_shown(page: Any) -> None:
    page.locator("#features", has_text="entropy").wait_for()
    page.locator("#why", has_text="what is in the picture?").wait_for()
    assert page.locator("#route").inner_text() == "device"
    width, height, *pixels = drawn(page)
    assert (width, height) == (160, 120)
    assert np.ptp(np.array(pixels).reshape(-1, 4)[:, :3]) > 20
    page.locator("#records tr", has_text="what is in the picture?").first.wait_for()


def test_overlays_are_laid_over_the_picture_by_their_keys(page: Any) -> None:
    page.locator("#features", has_text="entropy").wait_for()
    plain = np.array(drawn(page)[2:]).reshape(-1, 4)
    page.keyboard.press("3")
    assert page.locator("[data-overlay=entropy]").get_attribute("aria-pressed") == "true"
    over = np.array(drawn(page)[2:]).reshape(-1, 4)
    assert over[:, 2].mean() > plain[:, 2].mean() + 20
    page.keyboard.press("1")
    assert page.locator("[data-overlay=none]").get_attribute("aria-pressed") == "true"


def test_a_mask_that_is_typed_hides_its_part_of_the_picture_for_good(page: Any, server: tuple[Process, Path]) -> None:
    page.locator("#features", has_text="entropy").wait_for()
    before = frame(page)
    assert before[70:110, 90:150].mean() > 80
    page.keyboard.press("m")
    page.locator("#masks").wait_for()
    page.locator("#add-mask").press("Enter")
    for at, share in enumerate((50, 50, 50, 50)):
        field = page.locator("#mask-list input").nth(at)
        field.fill(str(share))
        field.press("Tab")
    page.get_by_role("button", name="save").press("Enter")
    page.get_by_text("saved: 1 in force").wait_for()
    seen = frame(page)
    assert seen[70:110, 90:150].mean() < 5
    assert seen[10:50, 10:70].mean() > 80
    kept = json.loads((server[1] / "edge-agent" / "masks.json").read_text())
    assert kept == {"masks": [[0.5, 0.5, 0.5, 0.5]]}
    page.get_by_role("button", name="remove mask 1").press("Enter")
    page.get_by_role("button", name="save").press("Enter")
    page.get_by_text("saved: 0 in force").wait_for()


def test_masks_cannot_be_added_before_those_in_force_are_there(page: Any) -> None:
    page.route("**/edge/v1/masks", lambda route: (page.wait_for_timeout(400), route.continue_()))
    page.keyboard.press("m")
    assert not page.locator("#add-mask").is_visible()
    page.locator("#add-mask").click()
    page.locator("#mask-list input").first.wait_for()
    page.unroute("**/edge/v1/masks")
    page.locator("#drop-masks").click()
    page.keyboard.press("Escape")


def test_a_mask_can_be_dragged_and_thrown_away(page: Any) -> None:
    page.locator("#features", has_text="entropy").wait_for()
    page.get_by_role("button", name="masks").click()
    page.locator("#masks").wait_for()
    box = page.locator("#picture").bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.25, box["y"] + box["height"] * 0.25)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.75, box["y"] + box["height"] * 0.5, steps=4)
    page.mouse.up()
    values = [float(page.locator("#mask-list input").nth(at).input_value()) for at in range(4)]
    assert values == pytest.approx([25, 25, 50, 25], abs=1.0)
    page.get_by_role("button", name="discard changes").click()
    page.locator("#mask-list li").wait_for(state="detached")


def test_a_phone_shows_everything_without_scrolling_sideways(page: Any) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    page.locator("#records tr").first.wait_for()
    assert page.evaluate("document.scrollingElement.scrollWidth") <= 360
    for name in ("#picture", "#question", "#ask-button", "#timeline"):
        box = page.locator(name).bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 360
    assert page.locator("#ask-button").bounding_box()["height"] >= 44


def test_every_control_can_be_reached_by_the_tab_key_and_has_a_name(page: Any) -> None:
    reached = set()
    for _ in range(20):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id || document.activeElement.dataset?.overlay || ''"))
    assert {
        "picture",
        "none",
        "motion",
        "entropy",
        "edit-masks",
        "question",
        "prefer",
        "private",
        "ask-button",
    } <= reached
    for control in page.locator("button:visible, input:visible, select:visible").all():
        name = control.evaluate("e => e.innerText || e.getAttribute('aria-label') || e.labels?.[0]?.innerText || ''")
        assert name.strip()


def test_the_browser_lets_nothing_of_this_page_go_elsewhere(browser: Any, server: tuple[Process, Path]) -> None:
    """Scripts of this page try to reach another port of this machine: nobody ever connects to it."""
    page = browser.new_page()
    page.goto(server[0].url)
    with socket.create_server(("127.0.0.1", 0)) as elsewhere:
        address = f"http://127.0.0.1:{elsewhere.getsockname()[1]}"
        for script in (
            f"fetch('{address}/')",
            f"new Promise((done, lost) => {{ const i = new Image(); i.onerror = lost; i.src = '{address}/x.png'; }})",
            f"import('{address}/x.js')",
        ):
            with pytest.raises(playwright.Error):
                page.evaluate(script)
        elsewhere.settimeout(0.5)
        with pytest.raises(TimeoutError):
            elsewhere.accept()
    assert page.evaluate("document.querySelectorAll('script:not([src]), style, [style]').length") == 0
    page.close()


def test_what_the_agent_refuses_is_said_in_words(page: Any) -> None:
    page.locator("#question").fill("x" * 2000)
    page.evaluate("document.getElementById('question').removeAttribute('maxlength')")
    page.evaluate("document.getElementById('question').value += 'more'")
    page.locator("#ask-button").click()
    refused = page.locator("#answer.none", has_text="at most 2000 are read")
    refused.wait_for()
    assert "2004 characters" in refused.inner_text()
    assert page.locator("#how").inner_text() == ""
    assert page.locator("#records tr", has_text="xxxx").count() == 0


def test_a_page_behind_a_token_asks_for_it_and_then_works(browser: Any, tmp_path: Path) -> None:
    with agent(tmp_path, EDGE_AGENT_API_TOKEN="kitchen-token") as made:
        page = browser.new_page()
        page.set_default_timeout(WAIT_MS)
        page.goto(made.url)
        told: list[tuple[str, int]] = []
        page.on("response", lambda one: told.append((one.request.headers.get("authorization", ""), one.status)))
        field = page.locator("#token")
        for token in ("wrong", "kitchen-token"):
            field.wait_for()
            assert page.get_by_text("ready", exact=True).count() == 0
            field.fill(token)
            field.press("Enter")
        page.get_by_text("ready", exact=True).wait_for()
        assert not field.is_visible()
        assert {status for sent, status in told if sent == "Bearer wrong"} == {401}
        let_in = {status for sent, status in told if sent == "Bearer kitchen-token"}
        assert 200 in let_in
        assert let_in <= {200, 204, 304, 404}  # 404: of the picture that a source has not shown yet
        page.close()
