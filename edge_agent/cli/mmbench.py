"""`edge-agent eval mmbench`: multiple choice with circular evaluation, from the official TSV."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from edge_agent.cli.answering import Asked, answer_all, drawn_options, tell
from edge_agent.cli.mmbench_data import Pass, Question, picture_name, read_mmbench
from edge_agent.cli.options import deciding_options, json_option, settle
from edge_agent.cli.paths import FILE
from edge_agent.cli.running import run
from edge_agent.cli.vqa import Row, Scored, normalise, report, sample
from edge_agent.types import Answer

LETTER = re.compile(r"\b([A-D])\b")


@click.command()
@click.option("--data", required=True, type=FILE, help="The official TSV, e.g. MMBench_DEV_EN.tsv.")
@drawn_options
@deciding_options
@json_option
def mmbench(data: Path, limit: int | None, seed: int, as_json: bool, **deciding: Any) -> None:
    """MMBench: right in every turn of the options, overall and by category."""
    loaded = settle(**deciding)
    questions = sample(read_mmbench(data), limit, seed)
    asked = [Asked(q.picture, f"question {q.index}", q.prompt(turn)) for q in questions for turn in q.passes]
    answers = run(answer_all(loaded, asked, as_json))
    result = {
        "data": data.name,
        "route": deciding["route"],
        "policy": loaded.config.policy.name,
        "seed": seed,
    }
    result |= figures(questions, answers, seed)
    tell(result, as_json)


def figures(questions: Sequence[Question], answers: Sequence[Answer | str], seed: int) -> dict[str, Any]:
    """What is reported. `n`, accuracy, kinds count questions, right in every pass; the rest is over all passes."""
    by_pass: list[Scored] = []
    circular: list[Scored] = []
    first: list[float] = []
    left = iter(answers)
    for question in questions:
        scored = [_scored(question, turn, next(left)) for turn in question.passes]
        by_pass += scored
        failed = next((s for s in scored if s.answer is None), scored[0])
        circular.append(Scored(failed.row, min(s.score for s in scored), failed.answer, failed.error))
        first.append(scored[0].score)
    asked = report(by_pass, seed)
    counted = report(circular, seed)
    return {
        **asked,
        **{key: counted[key] for key in ("n", "accuracy", "accuracy_ci", "kinds")},
        "passes": len(by_pass),
        "accuracy_first_pass": sum(first) / len(first),
        "groups": _groups(questions, circular),
    }


def _scored(question: Question, turn: Pass, answer: Answer | str) -> Scored:
    row = Row(Path(picture_name(question.picture)), question.question, turn.answer, question.category)
    if isinstance(answer, str):
        return Scored(row, 0.0, None, answer)
    return Scored(row, float(chosen(answer.text, turn.options) == turn.answer), answer)


def chosen(text: str, options: dict[str, str]) -> str | None:
    """The letter that an answer means; None where it cannot be said, which counts as wrong.

    In this order: the answer is one option's text, but for case, punctuation and articles; it names exactly one letter;
    it contains exactly one option's text. Published figures take a language model where such rules fail.
    """
    said = normalise(text)
    wordings = {letter: normalise(option) for letter, option in options.items()}
    same = [letter for letter, wording in wordings.items() if wording == said]
    if len(same) == 1:
        return same[0]
    letters: set[str] = set(LETTER.findall(text)) & set(options)
    if len(letters) == 1:
        return letters.pop()
    within = [letter for letter, wording in wordings.items() if wording and f" {wording} " in f" {said} "]
    return within[0] if len(within) == 1 and not letters else None


def _groups(questions: Sequence[Question], circular: Sequence[Scored]) -> dict[str, dict[str, float]]:
    scores: dict[str, list[float]] = defaultdict(list)
    for question, one in zip(questions, circular, strict=True):
        if question.group:
            scores[question.group].append(one.score)
    return {group: {"n": len(s), "accuracy": sum(s) / len(s)} for group, s in sorted(scores.items())}
