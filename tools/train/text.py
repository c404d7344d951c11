"""The tokenizer: whole words that the training questions use, and single characters for every other word."""

from __future__ import annotations

import json
import random
import re
import string
from collections import Counter
from collections.abc import Iterable, Iterator

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

from tools.train.crops import View
from tools.train.labels import COCO, SYNONYMS, imagenet_names, plural
from tools.train.questions import Asker

PAD, ASK, REPLY, EOS, UNK, IMAGE = range(6)
SPECIAL = ("<pad>", "<q>", "<a>", "<eos>", "<unk>", "<image>")
_SUFFIXES = ("s", "es", "ing", "ed", "er", "ly", "y")
_COMMON = (
    "what where who which how many much is are was were do does did can could you see there any a an the in on "
    "of to at by near next behind under over above below left right front between inside outside picture photo "
    "image scene room table floor wall yes no not this that these those it i my me we he she they and or with "
    "without color colour red green blue white black brown grey gray yellow orange pink purple big small large "
    "tall describe tell name count list show look find please hello thing things object objects person people "
    "man woman child dog cat car day night indoor outdoor weather open closed empty full happening doing "
    "wearing holding zero one two three four five six seven eight nine ten something nothing anything anyone "
    "everyone "
    "than less fewer more hear heard sound noise voice speech quiet crying barking ticking crackling talking talk "
    "chainsaw helicopter sneeze rooster rain waves sea "
)


def _texts(views: Iterable[View]) -> Iterator[str]:
    """Everything that a question or an answer about `views` can contain."""
    asker = Asker(random.Random(0), imagenet_names())
    yield from (
        " ".join((label, plural(label), *SYNONYMS.get(label, ()), *map(plural, SYNONYMS.get(label, ()))))
        for label in COCO
    )
    for view in views:
        for question in asker.ask(view, []):
            yield question.text
            yield question.answer
        for pair in view.get("qa", ()):
            yield from pair
        yield from view.get("captions", ())


def build_tokenizer(views: Iterable[View], least: int = 2) -> Tokenizer:
    """WordPiece with every word used at least `least` times, every character and a few endings."""
    words = Counter(word for text in _texts(views) for word in re.findall(r"[a-z]+|\d+", text.lower()))
    kept = [word for word, seen in sorted(words.items(), key=lambda item: (-item[1], item[0])) if seen >= least]
    kept += [word for name in imagenet_names() for word in re.findall(r"[a-z]+", name.lower())]
    signs = list(string.punctuation)
    letters = list(string.ascii_lowercase + string.digits)
    pieces = [
        *SPECIAL,
        *signs,
        *letters,
        *("##" + c for c in letters),
        *("##" + s for s in _SUFFIXES),
        *_COMMON.split(),
        *kept,
    ]
    vocab = {piece: i for i, piece in enumerate(dict.fromkeys(pieces))}
    tokenizer = Tokenizer(
        models.WordPiece(vocab, unk_token="<unk>", max_input_chars_per_word=64, continuing_subword_prefix="##")
    )
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(prefix="##")
    tokenizer.add_special_tokens(list(SPECIAL))
    assert [tokenizer.token_to_id(name) for name in SPECIAL] == list(range(len(SPECIAL)))
    return tokenizer


def extended(tokenizer: Tokenizer) -> Tokenizer:
    """The same with every common word as one piece, new ones behind the old: what was learned of the old ones holds."""
    told = json.loads(tokenizer.to_str())
    vocab = told["model"]["vocab"]
    for word in _COMMON.split():
        vocab.setdefault(word, len(vocab))
    return Tokenizer.from_str(json.dumps(told))
