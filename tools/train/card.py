"""Writes the model cards (README.md of each bundle): `python -m tools.train.card REPORT --models models`.

REPORT is what `python -m tools.train.evaluate` printed for both bundles: one JSON object a line. The words are in
card_template.md.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from tools.train.settings import default_paths

Rows = list[dict[str, Any]]
SETS = {
    "coco": "COCO dev (made questions)",
    "shapes": "easy-VQA test (drawn shapes)",
    "daquar": "DAQUAR dev (human questions, indoors)",
    "imagenet": "ImageNet names, of classes never named in training",
}
ABOUT = {
    "edge-vqa": "The device's own model: a frozen EfficientNet-Lite0, a connector that turns its 7x7 grid into 49\n"
    "embeddings of {hidden} values, and a decoder of {layers} layers. The embeddings are what travels to the cloud.",
    "cloud-vqa": "The cloud's decoder: {layers} layers in two members whose probabilities are averaged, one grown\n"
    "out of the edge's decoder and trained on behind the same frozen connector, the other the edge's own. It reads\n"
    "the embeddings that the edge bundle makes; it has no vision encoder and never sees pixels. It is a little better\n"
    "than the edge's decoder, not much: one encoder and the same photos limit both.",
}


def table(rows: Rows) -> str:
    """Accuracy of each set, and by kind for COCO."""
    lines = [
        "| set | questions | with the picture | 95 % interval | blind | most frequent answer |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        low, high = row["accuracy_ci"]
        a = row["all"]
        lines.append(
            f"| {SETS[row['set']]} | {a['n']} | **{a['picture']}** | {low}-{high} | {a['blind']} | {a['majority']} |"
        )
        for kind in ("presence", "identify", "count", "relation"):
            if row["set"] == "coco" and kind in row:
                k = row[kind]
                lines.append(f"| - {kind} | {k['n']} | {k['picture']} | | {k['blind']} | {k['majority']} |")
    return "\n".join(lines)


def gain(rows: Rows) -> str:
    """What the picture is worth on COCO dev."""
    coco = next(row for row in rows if row["set"] == "coco")
    low, high = coco["gain_ci"]
    points = coco["all"]["picture"] - coco["all"]["blind"]
    return f"On COCO dev the picture is worth {points:.1f} points over blind (95 % interval {low} to {high})."


def mistakes(rows: Rows) -> str:
    """The most confident wrong answers of each set."""
    lines = ["| set | question | right | said | confidence |", "|---|---|---|---|---|"]
    for row in rows:
        lines += [
            f"| {row['set']} | {m['question']} | {m['answer']} | {m['said'] or '(nothing)'} | {m['confidence']} |"
            for m in row["confident_mistakes"][:4]
        ]
    return "\n".join(lines)


def card(folder: Path, rows: Rows, other: Rows, equality: dict[str, int]) -> str:
    """The whole text of one card."""
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    config = json.loads((folder / "config.json").read_text("utf-8"))["text_config"]
    fitted = manifest["calibration"]["fitted_on"]
    template = Path(__file__).with_name("card_template.md").read_text("utf-8")
    return template.format(
        about=ABOUT[manifest["name"]].format(hidden=config["hidden_size"], layers=config["num_hidden_layers"]),
        size_mb=f"{sum(f['size_bytes'] for f in manifest['files']) / 1e6:.1f}",
        table=table(rows),
        gain=gain(rows),
        other=", ".join(f"{row['set']} {row['all']['picture']}" for row in other),
        fitted_questions=fitted["questions"],
        fitted_accuracy=fitted["accuracy"],
        calibration_error=fitted["expected_calibration_error"],
        confidence_auc=fitted["confidence_auc"],
        accept_entropy=fitted["accept_entropy"],
        accepted_percent=f"{100 * fitted['accepted_share']:.0f}",
        accepted_accuracy=fitted["accepted_accuracy"],
        mistakes=mistakes(rows),
        name=manifest["name"],
        version=manifest["version"],
        encoder_id=manifest["encoder_id"],
        steps=manifest["provenance"]["steps"],
        minutes=manifest["provenance"]["minutes"],
        **equality,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("report", type=Path)
    parser.add_argument("--models", type=Path, default=Path("models"))
    wanted = parser.parse_args()
    rows = [json.loads(line) for line in wanted.report.read_text("utf-8").splitlines()]
    for name in ABOUT:
        own, other = [r for r in rows if r["bundle"] == name], [r for r in rows if r["bundle"] != name]
        equality = json.loads((default_paths().work / f"{name}-equality.json").read_text("utf-8"))
        (wanted.models / name / "README.md").write_text(card(wanted.models / name, own, other, equality), "utf-8")


if __name__ == "__main__":
    main()
