"""Pictures of the page for the README: a real agent watches the demo clip, a real browser looks at it.

pip install 'edge-agent[browser]'; apt install chromium
python tools/screenshot.py docs/page.png docs/page-phone.png
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from importlib.resources import files
from pathlib import Path
from typing import Any

ROUNDS = 10  # of the demo clip, one after the other: longer than it takes


def long_clip(path: Path) -> Path:
    """The demo clip, played ROUNDS times."""
    import av

    with av.open(str(files("edge_agent") / "assets" / "demo.mp4")) as clip:
        rate = clip.streams.video[0].average_rate
        frames = [frame.to_ndarray(format="bgr24") for frame in clip.decode(video=0)]
    with av.open(str(path), "w") as out:
        video = out.add_stream("mpeg4", rate=rate)
        video.height, video.width = frames[0].shape[:2]
        video.pix_fmt, video.bit_rate = "yuv420p", 6_000_000
        for number in range(ROUNDS * len(frames)):
            picture = av.VideoFrame.from_ndarray(frames[number % len(frames)], format="bgr24")
            picture.pts = number
            out.mux(video.encode(picture))
        out.mux(video.encode(None))
    return path


def start(folder: Path, cloud: str) -> tuple[subprocess.Popen[bytes], str]:
    """An agent with the API on a free port; its address."""
    (folder / "config.toml").write_text("[api]\nport = 0\n")
    said = (folder / "said").open("wb")
    long_clip(folder / "clip.mp4")
    arguments = ["run", "--config", "config.toml", "--clip", "clip.mp4"]
    process = subprocess.Popen(
        [sys.executable, "-m", "edge_agent", *arguments, "--api", "--json", "--cloud", cloud],
        stdin=subprocess.DEVNULL,
        stdout=said,
        cwd=folder,
        env={**os.environ, "XDG_STATE_HOME": str(folder)},
    )
    while not (text := (folder / "said").read_text()).count("\n"):
        if process.poll() is not None:
            raise SystemExit("the agent did not start")
    return process, str(json.loads(text.splitlines()[0])["url"])


def take(url: str, wide: Path, narrow: Path) -> None:
    """Ask, and take both pictures."""
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        raise SystemExit("there is no Chromium: apt install chromium")
    with sync_playwright() as running:
        browser = running.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page: Any = browser.new_page(viewport={"width": 1200, "height": 1000})
        page.goto(url)
        page.get_by_text("ready", exact=True).wait_for(timeout=60_000)
        page.wait_for_timeout(15_000)
        page.fill("#question", "is there a cat in the picture?")
        page.press("#question", "Enter")
        page.locator("#how", has_text="USD").wait_for()
        page.keyboard.press("Tab")
        page.get_by_role("button", name="entropy").click()
        page.wait_for_timeout(1500)
        page.screenshot(path=wide, clip={"x": 0, "y": 0, "width": 1200, "height": 1000})
        page.set_viewport_size({"width": 390, "height": 844})
        page.wait_for_timeout(1500)
        page.screenshot(path=narrow)
        browser.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wide", type=Path)
    parser.add_argument("narrow", type=Path)
    parser.add_argument("--cloud", default="", help="address of a cloud; empty: none")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        process, url = start(Path(folder), given.cloud)
        try:
            take(url, given.wide, given.narrow)
        finally:
            process.terminate()
            process.wait(30)


if __name__ == "__main__":
    main()
