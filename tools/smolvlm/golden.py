"""Answers cases with transformers, and writes them down for the tests.

usage: python -m tools.smolvlm.golden FOLDER OUT.json [--count 12] [--tokens 12]    (writes OUT's pictures beside it)
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path
from typing import Any

import torch
import transformers
from PIL import Image
from transformers import (
    Idefics3ForConditionalGeneration,
    Idefics3ImageProcessorPil,
    Idefics3Processor,
    PreTrainedTokenizerFast,
)

from tools.smolvlm.cases import Answered, Case, cases, picture, save_pictures


class Reference:
    """transformers' own model and processor of a folder made by tools.smolvlm.build."""

    def __init__(self, folder: Path) -> None:
        self.model = Idefics3ForConditionalGeneration.from_pretrained(folder / "torch").eval()
        tokenizer = PreTrainedTokenizerFast(
            tokenizer_file=str(folder / "tokenizer.json"), pad_token="<|im_end|>", padding_side="left"
        )
        settings = json.loads((folder / "preprocessor_config.json").read_text())
        template = json.loads((folder / "chat_template.json").read_text())["chat_template"]
        sequence = json.loads((folder / "processor_config.json").read_text())["image_seq_len"]
        images = Idefics3ImageProcessorPil(**{k: v for k, v in settings.items() if not k.endswith(("type", "class"))})
        self.processor = Idefics3Processor(images, tokenizer, image_seq_len=sequence, chat_template=template)

    def answer(self, together: list[Case], tokens: int) -> list[list[int]]:
        """Greedy tokens of several cases in one padded batch; all with pictures, or none."""
        inputs = self.inputs(together)
        with torch.no_grad():
            made = self.model.generate(**inputs, do_sample=False, max_new_tokens=tokens)
        ends = self.model.generation_config.eos_token_id
        return [_until(row[inputs["input_ids"].shape[1] :].tolist(), ends) for row in made]

    def inputs(self, together: list[Case]) -> Any:
        """What the processor makes of the cases."""
        texts = [self.processor.apply_chat_template(_messages(c), add_generation_prompt=True) for c in together]
        pictures = [[Image.fromarray(picture(number)) for number in case.pictures] for case in together]
        given: dict[str, Any] = {"text": texts, "padding": True, "return_tensors": "pt"}
        if any(pictures):
            given |= {"images": pictures, "do_image_splitting": together[0].splitting}
        return self.processor(**given)


def _messages(case: Case) -> list[dict[str, Any]]:
    turns = [*(pair for pair in case.history), (case.question, "")]
    made: list[dict[str, Any]] = []
    for index, (question, answer) in enumerate(turns):
        content: list[dict[str, str]] = [{"type": "image"} for _ in case.pictures] if index == 0 else []
        made.append({"role": "user", "content": [*content, {"type": "text", "text": question}]})
        if index < len(turns) - 1:
            made.append({"role": "assistant", "content": [{"type": "text", "text": answer}]})
    return made


def _until(tokens: list[int], end: int) -> list[int]:
    return tokens[: tokens.index(end) + 1] if end in tokens else tokens


def in_batches(wanted: list[Case], size: int) -> list[list[int]]:
    """Indices of cases that may share a padded batch: equal splitting, and all with pictures or none."""
    groups: dict[tuple[bool, bool], list[int]] = {}
    for index, case in enumerate(wanted):
        groups.setdefault((case.splitting, bool(case.pictures)), []).append(index)
    return [group[at : at + size] for group in groups.values() for at in range(0, len(group), size)]


def answered(reference: Reference, wanted: list[Case], tokens: int, size: int = 3) -> list[Answered]:
    """Each case with its tokens, computed in padded batches of `size`."""
    made = [Answered(case) for case in wanted]
    for group in in_batches(wanted, size):
        for index, ids in zip(group, reference.answer([wanted[i] for i in group], tokens), strict=True):
            made[index].tokens = ids
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--count", type=int, default=12)
    parser.add_argument("--tokens", type=int, default=12)
    given = parser.parse_args()
    made = answered(Reference(given.folder), cases(given.count), given.tokens)
    record = {
        "made_by": f"tools.smolvlm.golden with transformers {transformers.__version__}, torch {torch.__version__}",
        "max_new_tokens": given.tokens,
        "cases": [dataclasses.asdict(one.case) | {"tokens": one.tokens} for one in made],
    }
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    save_pictures(given.out.parent, {number for one in made for number in one.case.pictures})
    print(json.dumps({"cases": len(made), "distinct_answers": len({tuple(one.tokens) for one in made})}))


if __name__ == "__main__":
    main()
