"""The accuracy of VQA v2 with its normalisation, quirks included: else figures could not stand beside published ones.

    accuracy = mean over the ten annotators of min(1, matching answers among the other nine / 3)

Answers are normalised (punctuation, numbers, articles, contractions) only where the ten do not agree to the letter, as
the official evaluation does; and there a full stop goes unless a digit follows, `none` counts as 0, and a comma
between digits makes every mark vanish without leaving a space.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from edge_agent.cli.vqa import NUMBERS as DIGITS

NUMBERS = {**DIGITS, "none": "0"}
ARTICLES = ("a", "an", "the")
MARKS = ';/[]"{}()=+\\_-><@`,?!'
FULL_STOP = re.compile(r"\.(?!\d)")
FULL_STOPS = 32  # no more than that many go
DIGIT_COMMA_DIGIT = re.compile(r"\d,\d")
FULL_CREDIT = 3  # other people who said the same

# Written with one apostrophe, typed without.
_SINGLE = """
ain't aren't can't could've couldn't didn't doesn't don't hadn't hasn't haven't he'd he's how'd how'll how's I'm I've
isn't it'd it'll ma'am mightn't might've mustn't must've needn't not've o'clock oughtn't shan't should've shouldn't
somebody'll somebody's someone'd someone'll someone's something'd something'll that's there'd there're there's they'd
they'll they're they've 'twas wasn't we've weren't what'll what're what's what've when's where'd where's where've who'd
who'll who's who've why'll why're why's won't would've wouldn't y'all you'd you'll you're you've
"""
# Written with two, typed with either one of them.
_DOUBLE = """
couldn't've hadn't've he'd've I'd've it'd've mightn't've she'd've shouldn't've somebody'd've someone'd've
something'd've there'd've they'd've we'd've who'd've wouldn't've y'all'll y'all'd've you'd've
"""
_ODD = {
    "'ow's'at": ("ow's'at", "'ows'at", "'ow'sat"),
    "somebodyd": ("somebody'd",),
    "y'all'd've": ("yall'd've", "y'alld've", "y'all'dve"),
}


def _contractions() -> dict[str, str]:
    """What is typed -> how it is written."""
    table = {written.replace("'", ""): written for written in _SINGLE.split()}
    for written in _DOUBLE.split():
        marks = [at for at, letter in enumerate(written) if letter == "'"]
        table |= {written[:at] + written[at + 1 :]: written for at in marks}
    return table | {typed: written for written, ways in _ODD.items() for typed in ways}


CONTRACTIONS = _contractions()


def vqa_accuracy(answer: str, given: Sequence[str]) -> float:
    """0..1: how far `answer` agrees with those that people gave, each in turn left out."""
    said, truths = _plain(answer), [_plain(text) for text in given]
    if len(set(truths)) > 1:
        said, truths = normalised(said), [normalised(text) for text in truths]
    matching = [truth == said for truth in truths]
    total = sum(matching)
    return sum(min(1.0, (total - own) / FULL_CREDIT) for own in matching) / len(matching)


def normalised(text: str) -> str:
    """As the official evaluation writes an answer."""
    return _words(_without_marks(text))


def _plain(text: str) -> str:
    return text.replace("\n", " ").replace("\t", " ").strip()


def _without_marks(text: str) -> str:
    """Marks at the edge of a word vanish, those inside become a space."""
    vanish = DIGIT_COMMA_DIGIT.search(text) is not None
    out = text
    for mark in MARKS:
        at_an_edge = mark + " " in text or " " + mark in text
        out = out.replace(mark, "" if vanish or at_an_edge else " ")
    return FULL_STOP.sub("", out, count=FULL_STOPS)


def _words(text: str) -> str:
    words = [NUMBERS.get(word, word) for word in text.lower().split()]
    return " ".join(CONTRACTIONS.get(word, word) for word in words if word not in ARTICLES)
