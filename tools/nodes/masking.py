"""Questions without their things: what a table may carry of a data set, with every word that a policy looks for kept.

Nouns of the data sets become "thing" or "things", so that length, form and cues stay and the text itself does not.
"""

from __future__ import annotations

import re

import numpy as np

from edge_agent.policy.moa_off import text_complexity
from edge_agent.policy.msao import relevance
from edge_agent.policy.tmo_responses import task_of
from edge_agent.types import ImageFeatures, ModalityFeatures

_KEPT = """
a an the this that these those it its there here is are was were be been being isn aren do does did doesn don can could
has have had will would not no yes any some all both each other same different only most more less fewer least than as
and or but if of in on at by to from for with without into onto over under above below behind beside between near next
around inside outside front back left right top bottom side middle center corner end close far closest nearest
farthest you your i we they he she his her their what which who whom whose when where why how many much number count
tell say name see seen look looks looking find found contain contains present visible show shows shown picture pictures
image images photo photos scene room shape shapes object objects thing things kind type largest biggest smallest big
small large little tall long short old new open closed full empty first second third last one two three four five six
seven eight nine ten color colors colour colours colored coloured red green blue yellow white black brown grey gray
pink purple orange teal beige gold silver light dark circle triangle rectangle square round person people man woman
animal vehicle food table wall floor wearing standing sitting lying hanging placed kept located made used
hear heard hearing listen listening sound sounds sounded noise noises noisy loud quiet bark barking music voice voices
talking speaking ring ringing alarm audio
"""
KEPT = frozenset(_KEPT.split())
_WORD = re.compile(r"[A-Za-z]+")
_PICTURE = ImageFeatures(8, 8, 1.0, np.zeros((1, 1), dtype=np.float32), 0.1, 1.0)


def masked(question: str) -> str:
    """The question with unknown words replaced. Raises ValueError where a policy would read it differently."""
    hidden = _WORD.sub(_hide, question)
    if _read(hidden) != _read(question):
        raise ValueError(f"a policy reads {hidden!r} differently: add the word that it looks for to KEPT")
    return hidden


def _hide(match: re.Match[str]) -> str:
    word = match.group()
    if word.lower() in KEPT:
        return word
    hidden = "things" if word.endswith("s") else "thing"
    return hidden.capitalize() if word[0].isupper() else hidden


def _read(question: str) -> tuple[object, ...]:
    features = ModalityFeatures(image=_PICTURE, question=question)
    return tuple(relevance(features).items()), task_of(question), text_complexity(question), len(question.split())
