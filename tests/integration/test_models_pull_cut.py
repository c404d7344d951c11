"""`models pull` from a hub that cuts, lies and redirects: it goes on where it stopped, or nothing is put in place."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

from edge_agent.errors import ModelError, UsageError
from edge_agent.store.fetch import PIECE_BYTES, Remote, Web, check_url
from edge_agent.vlm import find_bundle, list_bundles, verify_bundle
from hubs import COMMIT, REPO, Hub, hub_server
from pulls import BIG, pull, there


def test_a_cut_is_gone_on_from_within_one_pull(hub: Hub, capfd: pytest.CaptureFixture[str]) -> None:
    hub.cuts = [5000, 1000, 70000]
    pull(capfd, f"hf:{REPO}")
    assert sum(bool(wanted) for _, wanted in hub.asked) == 3
    assert verify_bundle(find_bundle("tiny-smolvlm")) == []


def test_a_pull_that_failed_goes_on_where_it_stopped(
    hub: Hub, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    hub.cuts = [60000, 0, 0, 0, 0]
    said = pull(capfd, f"hf:{REPO}", code=4)["error"]
    assert "stopped sending" in said
    assert "goes on where it stopped" in said
    assert there(tmp_path) == [".tiny-smolvlm.partial"]
    assert "tiny-smolvlm" not in [one.name for one in list_bundles()]
    hub.asked.clear()
    pull(capfd, f"hf:{REPO}")
    assert "bytes=60000-" in {wanted for _, wanted in hub.asked}
    assert "config.json" not in hub.fetched()
    assert there(tmp_path) == ["tiny-smolvlm"]


def test_a_server_without_parts_sends_it_all_again(hub: Hub, capfd: pytest.CaptureFixture[str]) -> None:
    hub.cuts, hub.ranges = [5000], False
    pull(capfd, f"hf:{REPO}")
    assert verify_bundle(find_bundle("tiny-smolvlm")) == []


def test_bytes_of_something_else_in_the_stage_are_thrown_away(
    hub: Hub, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    stage = tmp_path / "models" / ".tiny-smolvlm.partial"
    (stage / "onnx").mkdir(parents=True)
    (stage / BIG).write_bytes(b"x" * 4000)
    (stage / "config.json").write_bytes(b"y" * 100_000)
    (stage / "onnx" / "other.onnx").write_bytes(b"z")
    pull(capfd, f"hf:{REPO}")
    path = find_bundle("tiny-smolvlm")
    assert verify_bundle(path) == []
    assert not (path / "onnx" / "other.onnx").exists()


@pytest.mark.parametrize("lie", [10, -10])
def test_another_length_than_the_lists_is_refused(hub: Hub, capfd: pytest.CaptureFixture[str], lie: int) -> None:
    hub.claims[hub.path(BIG)] = len(hub.files[hub.path(BIG)]) + lie
    assert "its list says" in pull(capfd, f"hf:{REPO}", code=4)["error"]


def test_more_than_was_said_is_not_stored(tmp_path: Path) -> None:
    """Chunked, without any length: an endless answer must not fill the disk."""
    with hub_server() as hub:
        hub.files["/x"] = b"0" * (3 * PIECE_BYTES)

        async def fetch() -> None:
            async with Web() as web:
                await web.file(Remote("x", hub.url + "/x", 1000), tmp_path / "x", lambda _: None)

        with pytest.raises(ModelError, match="its list says 1000"):
            asyncio.run(fetch())
        assert not (tmp_path / "x").exists() or (tmp_path / "x").stat().st_size <= PIECE_BYTES


@pytest.mark.parametrize("name", [BIG, "tokenizer.json"])
def test_wrong_bytes_are_never_put_in_place(
    hub: Hub, tmp_path: Path, capfd: pytest.CaptureFixture[str], name: str
) -> None:
    hub.bad[hub.path(name)] = 99
    assert f"{name} from" in pull(capfd, f"hf:{REPO}", code=4)["error"]
    assert there(tmp_path) == [".tiny-smolvlm.partial"]
    hub.bad.clear()
    pull(capfd, f"hf:{REPO}")


def test_a_busy_server_is_asked_again_and_a_missing_file_is_not(hub: Hub, capfd: pytest.CaptureFixture[str]) -> None:
    hub.statuses[hub.path("config.json")] = [503, 429]
    pull(capfd, f"hf:{REPO}")
    del hub.files[hub.path(BIG)]
    shutil.rmtree(find_bundle("tiny-smolvlm"))
    hub.asked.clear()
    assert "answered 404: check name and revision" in pull(capfd, f"hf:{REPO}", code=4)["error"]
    assert hub.fetched().count(BIG) == 1


def test_redirects_are_followed_but_not_off_https(hub: Hub, capfd: pytest.CaptureFixture[str]) -> None:
    hub.files["/elsewhere"] = hub.files[hub.path(BIG)]
    hub.redirects[hub.path(BIG)] = "/elsewhere"
    pull(capfd, f"hf:{REPO}")
    shutil.rmtree(find_bundle("tiny-smolvlm"))
    hub.redirects[hub.path(BIG)] = "http://192.0.2.1/elsewhere"
    assert "only https" in pull(capfd, f"hf:{REPO}", code=2)["error"]
    hub.redirects[hub.path(BIG)] = hub.path(BIG)
    assert "redirected more than" in pull(capfd, f"hf:{REPO}", code=4)["error"]


@pytest.mark.parametrize(
    "url",
    ["http://example.org/x", "ftp://127.0.0.1/x", "file:///etc/passwd", "https://", "http://[::1", "https://a:b@c.org/",
     "http://127.0.0.1.example.org/", "nonsense"],
)  # fmt: skip
def test_only_https_or_this_machine(url: str) -> None:
    with pytest.raises(UsageError):
        check_url(url)


def test_this_machine_may_be_plain() -> None:
    for url in ("http://127.0.0.1:8/x", "http://localhost/x", "http://[::1]:80/x", "https://example.org/x"):
        assert check_url(url) == url


def test_a_list_that_is_none_is_refused(hub: Hub, capfd: pytest.CaptureFixture[str]) -> None:
    tree = f"/api/models/{REPO}/tree/{COMMIT}"
    for data in (b"[]", b"{}", b"[1]", b"[" * 100_000, b'[{"type": "file", "path": "config.json"}]', b"\xff"):
        hub.files[tree] = data
        assert "tiny-smolvlm" in pull(capfd, f"hf:{REPO}", code=4)["error"]
