"""Each method's own headline, on every link and load: what its paper claims, held against what is simulated here.

A cell is a scenario. `reached` says what the means of a cell say; each has its 95 % interval over seeds beside it. What
counts as noise between two policies is the wider of the intervals over seeds and over photos (Comparison.paired).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edge_agent.sim.compare import Comparison, Interval
from edge_agent.sim.simulator import HYBRID_ALL

FOUR = ("moa-off", "msao", "qlmio", "tmo")
BANDITS = ("ucb", "ucb-patient", "ucb-hasty")
MSAO = "msao-tuned"  # the paper tunes its thresholds, too
ABLATIONS = {
    "without MAS": "msao-no-mas",
    "without entropy-guided drafting": "msao-no-draft",
    "without compressing": "msao-no-compress",
    "with the threshold of the model's calibration": "msao",
}
BASELINES = ("cloud", "random", "threshold", "cascade", *BANDITS)
NEEDED = (
    "cloud",
    "local",
    *FOUR,
    MSAO,
    "hybrid",
    *BANDITS,
    "msao-no-mas",
    "msao-no-draft",
    "msao-no-compress",
    HYBRID_ALL,
    "random",
    "threshold",
    "cascade",
    "oracle",
)
QLMIO_PAPER = 0.5814
NONE = 0.0005  # of worth: a twentieth of a point counts as no difference, however narrow its interval


@dataclass(frozen=True, slots=True)
class Headline:
    """One method's claim: what each cell gave (`numbers` by name), in how many it holds, and the claim in words."""

    method: str
    claim: str
    cells: Mapping[str, Mapping[str, Any]]

    @property
    def reached(self) -> int:
        """In how many cells it holds."""
        return sum(bool(cell["reached"]) for cell in self.cells.values())


def headlines(compared: Sequence[Comparison]) -> list[Headline]:
    """All four, and ours. Every comparison must hold the policies of NEEDED. Raises KeyError."""
    claims: list[tuple[str, str, Callable[[Comparison], dict[str, Any]]]] = [
        ("moa-off", "latency > 30 % and compute 30..65 % or more below cloud-only, within 1.2 points", _moa_off),
        ("msao", "latency > 50 % below cloud-only and > 30 % below the best UCB, within 0.4 points", _msao),
        ("qlmio", "the completion rate of cloud-only within noise, latency up to 58.14 % below a baseline", _qlmio),
        (
            "hybrid",
            "worth no less than the best of the four by more than noise, or than a twentieth of a point",
            _hybrid,
        ),
    ]
    return [
        Headline(method, claim, {one.scenario.name: cell(one) for one in compared}) for method, claim, cell in claims
    ]


def _moa_off(cell: Comparison) -> dict[str, Any]:
    latency, compute, accuracy = _against_cloud(cell, "moa-off")
    reached = latency.mean > 0.30 and compute.mean >= 0.30 and accuracy.mean >= -0.012
    return {
        "reached": reached,
        "latency_cut": latency,
        "compute_cut": compute,
        "accuracy_over_cloud": accuracy,
        "missed": _missed(latency=latency.mean > 0.30, compute=compute.mean >= 0.30, accuracy=accuracy.mean >= -0.012),
    }


def _msao(cell: Comparison) -> dict[str, Any]:
    latency, _, accuracy = _against_cloud(cell, MSAO)
    bandit = best_bandit(cell)
    over_bandit = cell.lower(MSAO, bandit, "latency_ms")
    fine = {
        "latency": latency.mean > 0.50,
        "bandit": over_bandit.mean > 0.30,
        "accuracy": accuracy.mean >= -0.004,
    }
    return {
        "reached": all(fine.values()),
        "latency_cut": latency,
        "latency_cut_over_ucb": over_bandit,
        "best_ucb": bandit,
        "best_ucb_accuracy_over_cloud": cell.difference(bandit, "cloud", "accuracy"),
        "accuracy_over_cloud": accuracy,
        "ablations": {
            words: {
                "accuracy_over_msao": cell.difference(name, MSAO, "accuracy"),
                "latency_over_msao": _more(cell.lower(name, MSAO, "latency_ms")),
                "worth_over_msao": cell.difference(name, MSAO, "worth"),
            }
            for words, name in ABLATIONS.items()
        },
        "missed": _missed(**fine),
    }


def _qlmio(cell: Comparison) -> dict[str, Any]:
    _, _, accuracy = _against_cloud(cell, "qlmio")
    cuts = {name: cell.lower("qlmio", name, "latency_ms") for name in BASELINES}
    largest = max(cuts, key=lambda name: cuts[name].mean)
    noise = cell.paired("qlmio", "cloud", "accuracy")
    fine = {"accuracy": noise.high >= 0.0, "latency": cuts[largest].mean >= QLMIO_PAPER}
    return {
        "reached": all(fine.values()),
        "largest_latency_cut": cuts[largest],
        "over": largest,
        "latency_cut": cuts["cloud"],
        "accuracy_over_cloud": accuracy,
        "accuracy_over_cloud_by_photos": cell.over_photos("qlmio", "cloud", "accuracy"),
        "missed": _missed(**fine),
    }


def _hybrid(cell: Comparison) -> dict[str, Any]:
    best = max((*FOUR, MSAO), key=lambda name: cell.of(name, "worth").mean)
    more, noise = cell.difference("hybrid", best, "worth"), cell.paired("hybrid", best, "worth")
    return {
        "reached": noise.high >= -NONE,
        "better": more.low > 0.0 and more.mean > NONE,
        "better_on_other_photos": noise.low > 0.0 and noise.mean > NONE,
        "best_of_four": best,
        "worth_over_best_of_four": more,
        "worth_over_best_of_four_by_photos": cell.over_photos("hybrid", best, "worth"),
        "worth_behind_oracle": cell.difference("oracle", "hybrid", "worth"),
        "worth_over_local": cell.difference("hybrid", "local", "worth"),
        "worth_over_all_views": cell.difference("hybrid", HYBRID_ALL, "worth"),
        "latency_cut_over_best_of_four": cell.lower("hybrid", best, "latency_ms"),
        "missed": _missed(worth=noise.high >= -NONE),
    }


def best_bandit(cell: Comparison) -> str:
    """The fastest UCB that is within 0.4 points of cloud-only; where none is, the most accurate."""
    close = [name for name in BANDITS if cell.difference(name, "cloud", "accuracy").mean >= -0.004]
    if close:
        return min(close, key=lambda name: cell.of(name, "latency_ms").mean)
    return max(BANDITS, key=lambda name: cell.of(name, "accuracy").mean)


def _against_cloud(cell: Comparison, policy: str) -> tuple[Interval, Interval, Interval]:
    """(latency cut, compute cut, accuracy over) cloud-only."""
    cuts = (cell.lower(policy, "cloud", metric) for metric in ("latency_ms", "compute_ms"))
    latency, compute = cuts
    return latency, compute, cell.difference(policy, "cloud", "accuracy")


def _more(cut: Interval) -> Interval:
    """By which part it is above, from the part by which it is below."""
    return Interval(-cut.mean, cut.half)


def _missed(**fine: bool) -> list[str]:
    return [name for name, holds in fine.items() if not holds]
