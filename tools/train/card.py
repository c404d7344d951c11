"""Writes the model cards (README.md of each bundle): `python -m tools.train.card REPORT --models models`.

REPORT is what `python -m tools.train.evaluate` printed for edge and cloud, for both with `--float`, for the cloud with
less and for the control: one JSON object a line; that of the shipped pair is report.jsonl beside this file, where `of`
names the version of whose run nothing but a figure is left. The words are in card_template.md.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from tools.train.settings import VIEWS, default_paths

Rows = list[dict[str, Any]]
SETS = {
    "coco": "COCO dev (made questions)",
    "mosaic": "mosaics of crops never trained on",
    "imagenet": 'ImageNet photos never trained on, "what is this?"',
    "shapes": "easy-VQA test (drawn shapes)",
    "daquar": "DAQUAR dev (human questions, indoors)",
    "sound": 'clips never trained on, "what do you hear?"',
}
ABOUT = {
    "edge-vqa": "The device's own model: a frozen EfficientNet-Lite0, a connector that turns its 7x7 grid into 49\n"
    "embeddings of {hidden} values, two more made of the backbone's own class head (its names for the picture, in the\n"
    "decoder's words), an audio encoder, and a decoder of {layers} layers. The embeddings are what travels to the\n"
    "cloud.",
    "cloud-vqa": "The cloud's model: two decoders side by side, of five and six layers, whose probabilities are\n"
    "averaged. Both are grown out of the edge's decoder and read four tiles of the picture beside the whole;\n"
    "the one of six layers is that of version 0.3.0. Beside them a small part reckons: in a picture that is divided\n"
    "both ways, as mosaics are, it finds the borders, tells COCO's 80 things cell by cell, and is heard where a\n"
    "question counts, compares or relates them in words that it follows; elsewhere it is silent. The model reads the\n"
    "embeddings that the edge bundle makes and has no encoder itself.",
}

WHOLE = {
    "edge-vqa": (1, "edge"),
    "cloud-vqa": (VIEWS, "cloud"),
    "cloud-plain": (VIEWS, "cloud without what reckons"),
}
"""How many views each reads, and what it is called."""

ALL_OF_DAQUAR = "daquar-all"
"""The set of rows that `evaluate --sets daquar --limit 5000` printed, renamed; `bundle` is what the card calls them."""


def table(rows: Rows) -> str:
    """Accuracy of each set and kind."""
    lines = [
        "| set | questions | with the picture | 95 % interval | blind | most frequent answer | confidence, AUC |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        parts = [(f"**{SETS[row['set']]}**", row["all"] | {"auc": f"{row['confidence_auc']:.3f}"})]
        if len(row["kinds"]) > 1:
            parts += [(f"- {kind}", part) for kind, part in row["kinds"].items()]
        for name, part in parts:
            low, high = part["interval"]
            blind, majority = part.get("blind", "-"), part["majority"]
            auc = part.get("auc", "")
            lines.append(f"| {name} | {part['n']} | {part['picture']} | {low}-{high} | {blind} | {majority} | {auc} |")
    return "\n".join(lines)


def mistakes(rows: Rows) -> str:
    """The three surest wrong answers of each set and kind."""
    lines = ["| set, kind | picture | question | right | said | probability |", "|---|---|---|---|---|---|"]
    for row in rows:
        for kind, part in row["kinds"].items():
            lines += [
                f"| {row['set']}, {kind} | {m['image']} | {m['question']} | {m['answer']} | {m['said'] or '(nothing)'} "
                f"| {m['probability']} |"
                for m in part["mistakes"]
            ]
    return "\n".join(lines)


def rounding(rows: Rows) -> str:
    """What int8 costs: each set with the weights as shipped and as trained, or that it was not measured."""
    shares = {(r["set"], r["bundle"], r.get("weights", "int8")): r["all"]["picture"] for r in rows if is_whole(r)}
    whole = {
        bundle: name for bundle, (_, name) in WHOLE.items() if any((key, bundle, "float") in shares for key in SETS)
    }
    if not whole:
        return "What rounding the weights to int8 costs was not measured for this release."
    heads = [f"{name}, {weights}" for name in whole.values() for weights in ("int8", "float")]
    lines = ["What rounding the weights to int8 costs:", "", "| set | " + " | ".join(heads) + " |"]
    lines.append("|---" * (len(heads) + 1) + "|")
    for key, name in SETS.items():
        cells = [str(shares.get((key, bundle, way), "-")) for bundle in whole for way in ("int8", "float")]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def is_whole(row: dict[str, Any]) -> bool:
    """Whether a row is of a model with all of the views that it reads."""
    return row["bundle"] in WHOLE and row["views"] == WHOLE[row["bundle"]][0]


def comparison(rows: Rows) -> str:
    """Edge, cloud, the cloud with less, and the control, set by set."""
    columns = [
        ("edge", "edge-vqa", 1),
        ("cloud, with tiles", "cloud-vqa", VIEWS),
        ("the same without what reckons", "cloud-plain", VIEWS),
        ("without that and without tiles", "cloud-plain", 1),
        ("its newer decoder alone, with tiles", "cloud-alone", VIEWS),
        ("control", "control-vqa", VIEWS),
    ]
    rows = [r for r in rows if r.get("weights", "int8") == "int8"]
    present = {(r["bundle"], r["views"]) for r in rows}
    columns = [column for column in columns if column[1:] in present]
    lines = ["| set | " + " | ".join(name for name, _, _ in columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for key, name in SETS.items():
        cells = []
        for _, bundle, views in columns:
            found = [r for r in rows if (r["set"], r["bundle"], r["views"]) == (key, bundle, views)]
            cells.append(str(found[0]["all"]["picture"]) if found else "-")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def all_of_daquar(rows: Rows) -> str:
    """What was right of every question of DAQUAR's dev side, of which the other tables show a sample."""
    found = {r["bundle"]: r["all"] for r in rows if r["set"] == ALL_OF_DAQUAR}
    if not found:
        return ""
    told = [f"{name} {part['picture']} ({part['interval'][0]}-{part['interval'][1]})" for name, part in found.items()]
    return f"\nAll {next(iter(found.values()))['n']} questions of DAQUAR dev instead of 750: {', '.join(told)}.\n"


def control(rows: Rows) -> str:
    """How long the control was trained, and the cloud."""
    steps = {r["bundle"]: r["step"] for r in rows}
    if "control-vqa" not in steps:
        return "; that was not run for this release"
    return f": {steps['control-vqa']} steps, where the newer one had {steps['cloud-vqa']}"


def shipped_rows(rows: Rows, bundle: str, views: int) -> Rows:
    """Those of a bundle as it is shipped, with that many views."""
    int8 = [r for r in rows if r["set"] in SETS and r.get("weights", "int8") == "int8"]
    return [r for r in int8 if (r["bundle"], r["views"]) == (bundle, views)]


def card(folder: Path, rows: Rows, every: Rows, equality: dict[str, int]) -> str:
    """The whole text of one card."""
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    edge = json.loads((folder.parent / "edge-vqa" / "manifest.json").read_text("utf-8"))
    config = json.loads((folder / "config.json").read_text("utf-8"))["text_config"]
    fitted, routing = manifest["calibration"]["fitted_on"], edge["calibration"]["fitted_on"]["routing"]
    template = Path(__file__).with_name("card_template.md").read_text("utf-8")
    return template.format(
        about=ABOUT[manifest["name"]].format(hidden=config["hidden_size"], layers=config["num_hidden_layers"]),
        size_mb=f"{sum(f['size_bytes'] for f in manifest['files']) / 1e6:.1f}",
        table=table(rows),
        comparison=comparison(every),
        all_of_daquar=all_of_daquar(every),
        rounding=rounding(every),
        control=control(every),
        fitted_questions=fitted["questions"],
        fitted_accuracy=fitted["accuracy"],
        calibration_error=fitted["expected_calibration_error"],
        confidence_auc=fitted["confidence_auc"],
        accept_entropy=fitted["accept_entropy"],
        accepted_percent=f"{100 * fitted['accepted_share']:.0f}",
        accepted_accuracy=fitted["accepted_accuracy"],
        cloud_gain=routing["cloud_gain"],
        by_uncertainty=f"{100 * routing['recovered_by_uncertainty']:.0f}",
        by_gain=f"{100 * routing['recovered_by_predicted_gain']:.0f}",
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
    for name, views in (("edge-vqa", 1), ("cloud-vqa", VIEWS)):
        own = shipped_rows(rows, name, views)
        equality = json.loads((default_paths().work / f"{name}-equality.json").read_text("utf-8"))
        (wanted.models / name / "README.md").write_text(card(wanted.models / name, own, rows, equality), "utf-8")


if __name__ == "__main__":
    main()
