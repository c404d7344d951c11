"""Each check of the doctor in each state of a machine that it can meet; no hardware is needed."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from edge_agent.cli.checks import machine, runtime, setup
from edge_agent.cli.checks.base import Check, Probed, Status, signal_words

ORT = runtime.Library("onnxruntime", ("onnxruntime", "onnxruntime-gpu"))
CV2 = runtime.Library("cv2", ("opencv-python-headless",))


def checks(check: Check, status: Status, *words: str, exit_code: int = 0) -> None:
    """The check has that outcome, says those words, and names a command where something is to be done."""
    assert (check.status, check.exit_code) == (status, exit_code), check
    for word in words:
        assert word in f"{check.detail} {check.fix}", check
    assert "\n" not in check.detail + check.fix
    assert bool(check.fix) == (status in (Status.WARN, Status.FAIL)), check


@pytest.mark.parametrize(
    ("version", "machine_name", "wide", "status"),
    [
        ((3, 10, 2), "aarch64", True, Status.OK),
        ((3, 13, 0), "x86_64", True, Status.OK),
        ((3, 14, 0), "x86_64", True, Status.WARN),
        ((3, 9, 2), "aarch64", True, Status.WARN),
        ((3, 11, 2), "armv7l", False, Status.WARN),
        ((3, 11, 2), "aarch64", False, Status.WARN),
    ],
)
def test_python_and_processor_are_those_that_have_wheels(version, machine_name, wide, status):
    checks(runtime.check_python(version, machine_name, wide), status, machine_name)


def test_kernels_that_compute_rightly_name_the_instruction_set_in_use():
    probed = Probed({"problems": [], "isa": "neon", "available": ["reference", "scalar", "neon"], "cpu": []})
    checks(runtime.check_kernels(probed), Status.OK, "neon in use")


def test_kernels_that_compute_wrongly_or_die_are_a_failed_self_test():
    wrong = Probed({"problems": ["avx2 kernels: grey differs"], "isa": "", "available": [], "cpu": []})
    checks(runtime.check_kernels(wrong), Status.FAIL, "grey differs", "pip install", exit_code=5)
    died = Probed(error=signal_words(signal.SIGILL), crashed=True)
    checks(runtime.check_kernels(died), Status.FAIL, "illegal instruction", exit_code=5)


def test_a_wrong_instruction_set_in_the_environment_is_taken_back_not_reinstalled():
    probed = Probed({"problems": ["EDGE_AGENT_ISA: no kernels for 'mmx'"], "isa": "", "available": [], "cpu": []})
    checks(runtime.check_kernels(probed), Status.FAIL, "unset EDGE_AGENT_ISA", exit_code=5)


@pytest.mark.parametrize("version", ["1.21.0", "1.24.0", "1.24.2", "1.25.1", "1.26.0", "1.27.0"])
def test_a_release_of_onnxruntime_known_to_be_bad_is_named(version):
    checks(runtime.check_library(ORT, Probed({"version": version})), Status.WARN, version, "pip install 'onnxruntime")


@pytest.mark.parametrize("version", ["1.20.1", "1.21.1", "1.23.2", "1.27.1", "1.31.1", "2.0", "of unknown version"])
def test_other_releases_of_onnxruntime_are_fine(version):
    checks(runtime.check_library(ORT, Probed({"version": version})), Status.OK, version)


def test_a_library_that_dies_by_a_signal_is_reported_in_words_with_the_command():
    check = runtime.check_library(CV2, Probed(error=signal_words(signal.SIGILL), crashed=True))
    checks(check, Status.FAIL, "SIGILL", "pip install --force-reinstall opencv-python-headless", exit_code=4)


def test_a_library_that_does_not_fit_numpy_is_mended_together_with_it():
    error = "ImportError: A module that was compiled using NumPy 1.x cannot be run in NumPy 2.2"
    checks(runtime.check_library(CV2, Probed(error=error)), Status.FAIL, "headless numpy", exit_code=4)


def test_a_missing_runtime_on_a_jetson_names_the_wheel_of_its_jetpack():
    gone = Probed(error="ModuleNotFoundError: No module named 'onnxruntime'")
    checks(runtime.check_library(ORT, gone, "5.15.148-tegra"), Status.FAIL, "JetPack", exit_code=4)
    checks(runtime.check_library(ORT, gone, "6.6.31-v8"), Status.FAIL, "pip install 'onnxruntime", exit_code=4)


def bundle(name: str, *problems: str, compared: bool = True) -> dict[str, object]:
    return {"name": name, "size_bytes": 7_500_000, "problems": list(problems), "compared": compared}


def models(*bundles: dict[str, object], error: str = "") -> Probed:
    return Probed({"error": error, "bundles": list(bundles), "folders": []})


def test_models_as_shipped_are_listed_with_their_size():
    found = runtime.check_models(models(bundle("edge-vqa")), "edge-vqa")
    checks(found, Status.OK, "edge-vqa (7.5 MB): every file as shipped")


def test_a_model_of_which_no_hash_is_known_is_not_called_as_shipped():
    found = models(bundle("cloud-vqa"), bundle("smolvlm", compared=False), bundle("edge-vqa"))
    assert runtime.check_models(found, "smolvlm").detail == (
        "cloud-vqa (7.5 MB), edge-vqa (7.5 MB): every file as shipped; "
        "smolvlm (7.5 MB): of these files no hashes are known"
    )
    alone = runtime.check_models(models(bundle("smolvlm", compared=False)), "smolvlm")
    assert alone.detail == "smolvlm (7.5 MB): of these files no hashes are known"


def test_a_damaged_model_prevents_answers_only_if_it_is_the_devices():
    found = models(bundle("cloud-vqa", "onnx/d.onnx: sha256 differs"), bundle("edge-vqa"))
    checks(runtime.check_models(found, "edge-vqa"), Status.FAIL, "cloud-vqa: onnx/d.onnx")
    checks(runtime.check_models(found, "cloud-vqa"), Status.FAIL, "sha256 differs", exit_code=4)


@pytest.mark.parametrize("found", [models(), models(error="manifest.json: not JSON"), Probed(error="no numpy")])
def test_without_a_model_nothing_can_be_answered(found):
    checks(runtime.check_models(found, "edge-vqa"), Status.FAIL, exit_code=4)


def test_a_model_named_by_its_folder_needs_no_list_of_bundles():
    checks(runtime.check_models(models(), "/srv/edge"), Status.FAIL, "no model bundle")


def test_an_answer_as_at_the_release_is_shown_with_its_time():
    probed = Probed({"error": "", "answer": "red", "opened_ms": 20.0, "answered_ms": 400.0})
    checks(runtime.check_answer(probed, "edge-vqa"), Status.OK, "20 ms", "400 ms")


def test_a_wrong_answer_is_a_failed_self_test_and_a_refusal_is_not():
    wrong = Probed({"error": "edge-vqa computes wrongly here", "hint": "", "wrong": True})
    checks(runtime.check_answer(wrong, "edge-vqa"), Status.FAIL, "onnxruntime", exit_code=5)
    full = Probed({"error": "needs 900 MiB, 12 MiB are free", "hint": "stop other programs", "wrong": False})
    checks(runtime.check_answer(full, "edge-vqa"), Status.FAIL, "stop other programs", exit_code=4)
    died = Probed(error=signal_words(signal.SIGSEGV), crashed=True)
    checks(runtime.check_answer(died, "edge-vqa"), Status.FAIL, "segmentation fault", exit_code=4)


def test_a_model_without_recorded_answers_is_unknown_not_wrong():
    probed = Probed({"error": "", "answer": None, "opened_ms": 1.0, "answered_ms": 0.0})
    checks(runtime.check_answer(probed, "smolvlm"), Status.UNKNOWN, "smolvlm opens")


def camera(tmp_path: Path, names: dict[str, str], wanted: str = "", usable: bool = True) -> Check:
    for device, name in names.items():
        (tmp_path / device).touch()
        (tmp_path / "names" / device).mkdir(parents=True)
        (tmp_path / "names" / device / "name").write_text(name + "\n")
    return machine.check_camera(wanted, tmp_path, tmp_path / "names", lambda _: usable)


def test_a_camera_is_listed_with_its_name(tmp_path):
    checks(camera(tmp_path, {"video0": "HD Webcam C270"}), Status.OK, "video0 HD Webcam C270")


@pytest.mark.parametrize("names", [{}, {"video10": "bcm2835-codec-decode", "video20": "pispbe-input"}])
def test_no_camera_is_a_warning_and_a_boards_video_codecs_are_no_cameras(tmp_path, names):
    checks(camera(tmp_path, names), Status.WARN, "no camera", "--camera")


def test_a_camera_that_is_not_there_is_plugged_in_or_another_is_named(tmp_path):
    alone = camera(tmp_path, {}, wanted="0")
    checks(alone, Status.WARN, "run.camera is 0", "plug in a USB camera")
    beside = camera(tmp_path, {"video2": "cam"}, wanted="0")
    checks(beside, Status.WARN, "run.camera is 0", f"set it to: {tmp_path / 'video2'}")


def test_a_camera_that_may_not_be_opened_names_the_group_to_join(tmp_path):
    checks(camera(tmp_path, {"video0": "cam"}, usable=False), Status.WARN, "usermod -aG", "video0")


def test_a_configured_camera_that_is_not_there_is_a_warning_that_lists_those_that_are(tmp_path):
    checks(camera(tmp_path, {"video0": "cam"}, wanted="3"), Status.WARN, "video3", "video0")


def test_a_network_camera_is_named_without_its_password(tmp_path):
    check = camera(tmp_path, {}, wanted="rtsp://admin:secret@10.0.0.7/stream")
    checks(check, Status.OK, "10.0.0.7")
    assert "secret" not in check.detail


@pytest.mark.parametrize(
    ("probed", "status", "words"),
    [
        (Probed({"missing": "sounddevice", "inputs": []}), Status.WARN, "pip install 'edge-agent[mic]'"),
        (Probed({"missing": "sounddevice", "inputs": []}), Status.WARN, "apt install libportaudio2"),
        (Probed({"missing": "portaudio", "inputs": []}), Status.WARN, "apt install libportaudio2"),
        (Probed({"missing": "", "inputs": []}), Status.WARN, "arecord -l"),
        (Probed(error="no answer within 30 s", crashed=True), Status.WARN, "no answer"),
        (Probed({"missing": "", "inputs": ["USB PnP", "b", "c", "d"]}), Status.OK, "USB PnP, b, c and 1 more"),
    ],
)
def test_the_microphone_names_what_is_missing_and_is_never_fatal(probed, status, words):
    checks(machine.check_microphone(probed), status, words)


@pytest.mark.parametrize(
    ("wanted", "status"),
    [("default", Status.OK), ("usb pnp", Status.OK), ("PnP USB", Status.OK), ("Jabra", Status.WARN)],
)
def test_a_microphone_that_the_configuration_names_is_looked_for_as_portaudio_does(wanted, status):
    check = machine.check_microphone(Probed({"missing": "", "inputs": ["USB PnP: Audio (hw:1,0)"]}), wanted)
    checks(check, status, *(["Jabra", "set it to a part of: USB PnP"] if status is Status.WARN else []))


def test_a_microphone_that_is_configured_is_not_only_for_mic():
    check = machine.check_microphone(Probed({"missing": "portaudio", "inputs": []}), "default")
    checks(check, Status.WARN, "run.microphone is default and needs it")


@pytest.mark.parametrize(("celsius", "status"), [(45_300, Status.OK), (84_000, Status.WARN), (None, Status.UNKNOWN)])
def test_heat_comes_from_the_hottest_zone(tmp_path, celsius, status):
    for number, value in enumerate([20_000, celsius] if celsius else []):
        (tmp_path / f"thermal_zone{number}").mkdir()
        (tmp_path / f"thermal_zone{number}" / "temp").write_text(f"{value}\n")
    checks(machine.check_heat(tmp_path), status, f"{celsius / 1000:.0f} degrees" if celsius else "no thermal zone")


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("MemTotal: 1\nMemAvailable:    2000000 kB\n", Status.OK),
        ("MemAvailable:    120000 kB\n", Status.WARN),
        ("MemAvailable: much\n", Status.UNKNOWN),
        ("MemAvailable:\n", Status.UNKNOWN),
        ("", Status.UNKNOWN),
    ],
)
def test_memory_is_compared_with_the_model(tmp_path, text, status):
    (tmp_path / "meminfo").write_text(text)
    checks(machine.check_memory(7.5, tmp_path / "meminfo"), status)


def test_memory_that_cannot_be_read_is_unknown(tmp_path):
    checks(machine.check_memory(None, tmp_path / "gone"), Status.UNKNOWN)


def test_the_state_folder_is_looked_at_and_not_made(tmp_path):
    folder = tmp_path / "a" / "b"
    checks(machine.check_disk(Probed({"path": str(folder)}), 10.0, lambda _: True), Status.OK, str(folder), "MB free")
    checks(machine.check_disk(Probed({"path": str(folder)}), 10.0, lambda _: False), Status.WARN, "sudo mkdir -p")
    assert not folder.parent.exists()


def test_a_full_disk_and_a_file_in_place_of_the_state_folder_are_warnings(tmp_path):
    (tmp_path / "file").touch()
    checks(machine.check_disk(Probed({"path": str(tmp_path)}), 1e12), Status.WARN, "make room")
    checks(machine.check_disk(Probed({"path": str(tmp_path / "file")}), 1.0), Status.WARN, "no folder")
    checks(machine.check_disk(Probed(error="no numpy"), 1.0), Status.UNKNOWN, "no numpy")


def cloud(**values: object) -> Probed:
    return Probed({"reachable": False, "rtt_ms": None, "detail": "", "misused": "", **values})


def test_a_cloud_that_does_not_answer_is_a_warning_with_the_command_that_starts_one():
    here = setup.check_cloud("http://127.0.0.1:8787", cloud(detail="connection refused"))
    checks(here, Status.WARN, "connection refused", "python -m cloud_stub")
    far = setup.check_cloud("https://cloud.example/", cloud(detail="timeout"))
    checks(far, Status.WARN, "curl https://cloud.example/healthz")


def test_a_cloud_that_answers_is_shown_with_its_distance():
    checks(setup.check_cloud("http://127.0.0.1:1", cloud(reachable=True, rtt_ms=12.3)), Status.OK, "12 ms")


def test_no_cloud_at_all_is_fine():
    checks(setup.check_cloud("", None), Status.OK, "on the device")


def test_an_url_that_is_none_is_a_warning_that_names_the_setting():
    misused = cloud(detail="'x' is not a URL of a cloud", misused="give it as http://HOST:PORT")
    checks(setup.check_cloud("x", misused), Status.WARN, "cloud.url")
    checks(setup.check_cloud("x", Probed(error="no aiohttp")), Status.WARN, "no aiohttp")


def test_a_broken_configuration_fails_with_the_usage_code_and_the_rest_goes_on_with_the_defaults(tmp_path):
    path = tmp_path / "config.toml"
    path.write_text("[cloud]\nurll = 'http://x'\n")
    loaded, check = setup.read_config(path)
    checks(check, Status.FAIL, "cloud.urll", "cloud.url", exit_code=2)
    assert loaded.config.cloud.url


def test_the_configuration_in_use_is_named_with_how_much_it_changes(tmp_path, monkeypatch):
    path = tmp_path / "config.toml"
    path.write_text("[limits]\nprivate = true\n")
    checks(setup.read_config(path)[1], Status.OK, str(path), "1 setting")
    monkeypatch.setenv("EDGE_AGENT_CONFIG", str(path))
    checks(setup.read_config(None)[1], Status.OK, str(path))


def test_without_a_configuration_it_is_said_where_it_would_be(tmp_path, monkeypatch):
    monkeypatch.setattr(setup, "default_paths", lambda: [tmp_path / "none.toml"])
    monkeypatch.setattr("edge_agent.config.loading.default_paths", lambda: [tmp_path / "none.toml"])
    checks(setup.read_config(None)[1], Status.OK, "none.toml")


def test_a_configuration_that_may_not_even_be_looked_for_fails_like_a_broken_one(monkeypatch):
    def shut(path: Path | None) -> None:
        raise PermissionError(13, "Permission denied", "/root/.config/edge-agent/config.toml")

    monkeypatch.setattr(setup, "load", shut)
    checks(setup.read_config(None)[1], Status.FAIL, "Permission denied", "--config", exit_code=2)
