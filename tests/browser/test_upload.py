"""A mask drawn in the page, seen from the cloud's side: what arrives there of a question asked in the browser."""

from __future__ import annotations

import asyncio
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from apis import process
from clouds import ENCODER, FakeBackend, running_cloud
from edge_agent.transport.codecs import PIXELS
from edge_agent.transport.pictures import decode_picture
from edge_agent.types import U8
from media import make_clip

playwright = pytest.importorskip(
    "playwright.sync_api", reason="playwright is not installed: pip install 'edge-agent[browser]'"
)
CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), ""
)
pytestmark = pytest.mark.skipif(not CHROMIUM, reason="there is no Chromium: apt install chromium")
WAIT_MS = 30_000


@contextmanager
def cloud_that_takes_pictures() -> Iterator[tuple[FakeBackend, str]]:
    """The real cloud server in a thread, with a model that keeps what it is asked."""
    backend, started, urls = FakeBackend(words=1), threading.Event(), list[str]()
    backend.encoder_ids = (ENCODER, PIXELS)
    loop = asyncio.new_event_loop()
    over = asyncio.Event()

    async def serve() -> None:
        async with running_cloud(backend) as cloud:
            urls.append(cloud.url)
            started.set()
            await over.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), daemon=True)
    thread.start()
    assert started.wait(30)
    try:
        yield backend, urls[0]
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join(30)
        loop.close()


@pytest.fixture
def page(tmp_path: Path) -> Iterator[tuple[Any, FakeBackend]]:
    """The page of an agent that sends every question, with the picture itself, to such a cloud."""
    clip = make_clip(tmp_path / "clip.mp4", [60] * 3000, size=(120, 160), contrast=190)
    with cloud_that_takes_pictures() as (backend, url):
        config = tmp_path / "config.toml"
        config.write_text(
            '[api]\nport = 0\n[trigger]\non_change = false\n[policy]\nname = "cloud"\n'
            f'[cloud]\nurl = "{url}"\ncodec = "jpeg"\n[limits]\ndeadline_ms = 60000\n'
        )
        home = {"XDG_STATE_HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)}
        arguments = ("run", "--config", str(config), "--clip", str(clip), "--api")
        with process(*arguments, env=home, cwd=tmp_path) as agent, playwright.sync_playwright() as running:
            browser = running.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            made = browser.new_page()
            made.set_default_timeout(WAIT_MS)
            made.goto(agent.url)
            made.get_by_text("ready", exact=True).wait_for()
            made.locator("#features", has_text="entropy").wait_for()
            yield made, backend
            browser.close()


def uploaded(page: Any, backend: FakeBackend, question: str) -> U8:
    """The picture that the cloud got with a question that is asked in the page."""
    page.locator("#question").fill(question)
    page.locator("#ask-button").click()
    page.locator("#how", has_text="cloud").wait_for()
    page.locator("#records tr", has_text=question).first.wait_for()
    (prompt,) = [one for one in backend.prompts if one.question == question]
    (picture,) = prompt.pictures
    return decode_picture(picture)


def test_the_bytes_of_an_upload_hold_nothing_of_what_a_mask_of_the_page_hides(page: tuple[Any, FakeBackend]) -> None:
    browser, backend = page
    before = uploaded(browser, backend, "what is there without a mask?")
    assert before.shape == (120, 160, 3)
    assert before[70:110, 90:150].mean() > 80
    browser.locator("#question").evaluate("field => field.blur()")
    browser.keyboard.press("m")
    browser.locator("#masks").wait_for()
    browser.locator("#add-mask").press("Enter")
    for at, share in enumerate((50, 50, 50, 50)):
        browser.locator("#mask-list input").nth(at).fill(str(share))
        browser.locator("#mask-list input").nth(at).press("Tab")
    browser.get_by_role("button", name="save").press("Enter")
    browser.get_by_text("saved: 1 in force").wait_for()
    after = uploaded(browser, backend, "what is there behind the mask?")
    assert after[70:110, 90:150].mean() < 5
    assert after[10:50, 10:70].mean() > 80
