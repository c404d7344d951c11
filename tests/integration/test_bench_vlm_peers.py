"""`edge-agent bench vlm`, its peers: they compute what ours computes, and who is missing is one line."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_agent.cli.bench.libraries import LITERT, Library
from edge_agent.cli.bench.vlm import LIBRARIES, drawn
from edge_agent.cli.bench.vlm_scene import Scene
from edge_agent.vlm import Bundle, find_bundle

ROOT = Path(__file__).resolve().parents[2]


def there(*modules: str) -> bool:
    return all(importlib.util.find_spec(module) is not None for module in modules)


@pytest.mark.skipif(not any(map(there, LITERT.values())), reason="no LiteRT: pip install 'edge-agent[litert]'")
def test_litert_encodes_the_same_photo_by_each_of_its_files_and_nothing_else() -> None:
    from edge_agent.cli.bench.peers import litert

    scene = Scene(Bundle.open(find_bundle("edge-vqa")), drawn(), threads=1)
    found = litert.contenders((scene, "encode"))
    assert [one.name for one in found] == ["litert_float", "litert_int8"]
    for one, least in zip(found, (0.99, 0.95), strict=True):  # int8 rounds each layer
        (made,) = one.call(0)
        assert np.corrcoef(made.data.ravel(), scene.seen[0].data.ravel())[0, 1] > least
    assert litert.contenders((scene, "token")) == []
    assert litert.contenders((Scene(Bundle.open(find_bundle("cloud-vqa")), drawn(), threads=1), "encode")) == []


def test_a_library_counts_as_missing_where_what_it_needs_is_not_there() -> None:
    assert not Library("numpy", "numpy", "numpy", "arrays").missing()
    assert Library("numpy", "numpy", "numpy", "arrays", needs=("a_module_that_nobody_has",)).missing()
    assert LIBRARIES["transformers"].needs == ("torch",)


def test_a_missing_peer_is_one_line_and_no_failure(tmp_path: Path) -> None:
    hidden = "".join(f"sys.modules[{name!r}] = None\n" for name in (*LITERT.values(), "torch", "transformers"))
    finder = (
        "import importlib.util, sys\n"
        "real = importlib.util.find_spec\n"
        "gone = lambda name: sys.modules.get(name, 1) is None\n"
        "importlib.util.find_spec = lambda name, *more: None if gone(name) else real(name, *more)\n"
    )
    program = tmp_path / "bench.py"
    program.write_text(
        finder + hidden + "from edge_agent.cli.main import main\n"
        "options = ['--model', 'edge-vqa', '--case', 'encode', '--threads', '1', '--rounds', '3']\n"
        "sys.exit(main(['bench', 'vlm', *options]))\n"
    )
    done = subprocess.run([sys.executable, str(program)], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    lines = done.stderr.splitlines()
    assert [line.split(",")[0] for line in lines] == ["not compared with litert", "not compared with transformers"]
    assert all("pip install" in line for line in lines)


@pytest.mark.skipif(not there("torch", "transformers", "onnx_ir"), reason="no transformers: see tools/smolvlm")
def test_transformers_decodes_what_ours_decodes_again_and_again(tmp_path: Path) -> None:
    for tool, more in (("build", ["--size", "tiny"]), ("export", [])):
        command = [sys.executable, "-m", f"tools.smolvlm.{tool}", str(tmp_path / "model"), *more]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=240)
        assert done.returncode == 0, done.stderr
    from edge_agent.cli.bench.peers import transformers

    scene = Scene(Bundle.open(tmp_path / "model"), drawn(), threads=1, tokens=6)
    calls: dict[str, Any] = {
        case: one.call for case in ("encode", "prefill", "token") for one in transformers.contenders((scene, case))
    }
    views = calls["encode"](0)
    views = getattr(views, "pooler_output", views)
    seen = np.concatenate([view.data for view in scene.seen])  # [views * tokens, hidden]
    np.testing.assert_allclose(np.reshape(views, seen.shape), seen, atol=1e-3)
    assert calls["prefill"](0).get_seq_length() == scene.prompt.rows
    for _ in range(2):  # the cache was cropped back to the prompt
        assert int(calls["token"](0).argmax()) == scene.ids[-1]
