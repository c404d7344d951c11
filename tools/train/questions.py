"""Makes questions with known answers about a view: presence, count, identify, relation, place, naming, lists.

Yes and no are balanced for each word by keeping count of what was asked, so that a question alone gives nothing away.
"""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import dataclass, field

from tools.train.arranged import ask_grid
from tools.train.crops import View
from tools.train.labels import COCO, GROUPS, SYNONYMS, article, plural
from tools.train.names import Namer

_PRESENCE = (
    "is there {a} in the picture?",
    "is there {a}?",
    "do you see {a}?",
    "can you see {a} in the picture?",
    "is {a} visible?",
    "does the picture show {a}?",
    "are there any {s} in the picture?",
    "are there any {s}?",
    "is there any {x} here?",
    "do you see any {s}?",
)
_COUNT = ("how many {s} are in the picture?", "how many {s} are there?", "how many {s} do you see?", "count the {s}.")
_LARGEST = (
    "what is the largest thing in the picture?",
    "what is the biggest object in the picture?",
    "what is the main object?",
)
_LIST = (
    "what is in the picture?",
    "what do you see?",
    "what can you see in the picture?",
    "list the things in the picture.",
    "what objects are there?",
)
_TABLE = ("what is on the table?", "what is on the table in the picture?", "what do you see on the table?")
_DESCRIBE = (
    "describe the picture.",
    "what is happening?",
    "what is happening in the picture?",
    "describe what you see.",
)
_MIRRORED = ("left", "right")
_OFTEN_UNLABELLED = {"person", "chair", "dining table", "bottle", "cup", "bowl", "book"}


@dataclass(slots=True)
class Question:
    """One question and its answer, lower case; `kind` for the report."""

    text: str
    answer: str
    kind: str


@dataclass(slots=True)
class Asker:
    """Makes questions; remembers how often each word was answered yes and no."""

    rng: random.Random
    names: list[str]
    yes: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    no: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    namer: Namer = field(init=False)

    def __post_init__(self) -> None:
        self.namer = Namer(self.rng, self.names)

    def ask(self, view: View, top: list[tuple[int, float]]) -> list[Question]:
        """What can be asked of `view`, in random order, a few of a kind; `top` are its likely ImageNet classes."""
        made: list[Question] = []
        if view["source"] == "grid":
            made += [Question(*one) for one in ask_grid(view, self.rng)]
            present = sorted({o["label"] for o in view["objects"]})
            made += [self._presence(label, True) for label in self.rng.sample(present, min(1, len(present)))]
            made += [self._presence(label, False) for label in self._absent(view, present, 1)]
        elif view["source"] == "shapes":
            made += [Question(q, a, "shapes") for q, a in self.rng.sample(view["qa"], min(8, len(view["qa"])))]
        else:
            made += self._scene(view)
            made += [Question(*one) for one in self.namer.ask(view, top)]
            made += self._human(view)
        self.rng.shuffle(made)
        return [Question(self._spoken(q.text), q.answer, q.kind) for q in made]

    def names_of(self, index: int) -> list[Question]:
        """Questions that the name of the ImageNet class alone answers."""
        return [Question(self._spoken(text), *rest) for text, *rest in self.namer.of_class(index)]

    def _spoken(self, text: str) -> str:
        """The same question as people also type it, now and then."""
        if self.rng.random() < 0.15:
            text = text.replace(
                "in the picture",
                self.rng.choice(("in the image", "in the photo", "here", "in this picture", "in the scene")),
            )
        if self.rng.random() < 0.1:
            text = text.replace("what is ", self.rng.choice(("what's ", "whats ")), 1)
        return text.rstrip("?. ") if self.rng.random() < 0.1 else text

    def _scene(self, view: View) -> list[Question]:
        present = sorted({o["label"] for o in view["objects"]})
        made = [self._presence(label, True) for label in self.rng.sample(present, min(3, len(present)))]
        made += [self._presence(label, False) for label in self._absent(view, present, max(1, min(3, len(present))))]
        if view["source"] == "imagenet":
            return made
        made += self._counts(view, present) + self._identify(view) + self._lists(view)
        return made + self._relations(view, present) + self._places(view) + self._groups(view, present)

    def _absent(self, view: View, present: list[str], count: int) -> list[str]:
        """Labels surely not there, those first that have lately been answered yes more often than no."""
        banned = {*present, *view["unsure"]}
        if view["source"] == "imagenet":
            banned |= _OFTEN_UNLABELLED
        labels = [label for label in COCO if label not in banned]
        weights = [max(0.05, self.yes[label] - self.no[label] + 0.3) for label in labels]
        return list(dict.fromkeys(self.rng.choices(labels, weights, k=count)))

    def _presence(self, label: str, there: bool) -> Question:
        (self.yes if there else self.no)[label] += 1
        word = self._word(label)
        form = _PRESENCE[0] if self.rng.random() < 0.5 else self.rng.choice(_PRESENCE)
        text = form.format(a=article(word), s=plural(word), x=word)
        return Question(text, "yes" if there else "no", "presence")

    def _word(self, label: str) -> str:
        return (
            self.rng.choice(SYNONYMS[label])
            if label in SYNONYMS and label != "person" and self.rng.random() < 0.15
            else label
        )

    def _counts(self, view: View, present: list[str]) -> list[Question]:
        made = []
        known = [label for label in present if label not in view["unsure"]]
        for label in self.rng.sample(known, min(2, len(known))):
            number = sum(o["label"] == label for o in view["objects"])
            if number <= 6:
                made.append(Question(self.rng.choice(_COUNT).format(s=plural(label)), str(number), "count"))
        return made

    def _identify(self, view: View) -> list[Question]:
        things = view["objects"]
        if not things:
            return []
        made = []
        area = {id(o): (o["box"][2] - o["box"][0]) * (o["box"][3] - o["box"][1]) for o in things}
        order = sorted(things, key=lambda o: -area[id(o)])
        first = order[0]["label"]
        rest = [area[id(o)] for o in order if o["label"] != first]
        if area[id(order[0])] > 0.04 and (not rest or area[id(order[0])] > 1.15 * rest[0]):
            made.append(
                Question(_LARGEST[0] if self.rng.random() < 0.6 else self.rng.choice(_LARGEST), first, "identify")
            )
        for group, members in GROUPS.items():
            found = {o["label"] for o in things} & set(members)
            if len(found) == 1 and self.rng.random() < 0.7:
                made.append(Question(f"what {group} is in the picture?", found.pop(), "identify"))
        for side, low, high in (("left", 0.0, 0.5), ("right", 0.5, 1.0)):
            inside = [
                o for o in order if o["box"][0] >= low - 0.05 and o["box"][2] <= high + 0.05 and area[id(o)] > 0.03
            ]
            if len({o["label"] for o in inside}) == 1 and self.rng.random() < 0.4:
                made.append(Question(f"what is on the {side}?", inside[0]["label"], "place"))
        return made

    def _lists(self, view: View) -> list[Question]:
        made = []
        order = sorted(view["objects"], key=lambda o: -(o["box"][2] - o["box"][0]) * (o["box"][3] - o["box"][1]))
        labels = list(dict.fromkeys(o["label"] for o in order))
        if labels and self.rng.random() < 0.35:
            made.append(Question(self.rng.choice(_LIST), ", ".join(labels[:3]), "list"))
        if labels and self.rng.random() < 0.25:
            named = [article(label) for label in labels[:3]]
            told = " and ".join([", ".join(named[:-1]), named[-1]] if len(named) > 1 else named)
            made.append(Question(self.rng.choice(_DESCRIBE), told, "describe"))
        tables = [o["box"] for o in order if o["label"] == "dining table"]
        if tables:
            left, top, right, bottom = tables[0]
            on = [
                o["label"]
                for o in order
                if o["label"] not in ("dining table", "person", "chair", "couch", "bench", "bed")
                and left <= (o["box"][0] + o["box"][2]) / 2 <= right
                and top - 0.05 <= o["box"][3] <= bottom + 0.02
            ]
            if on:
                made.append(Question(self.rng.choice(_TABLE), ", ".join(dict.fromkeys(on[:2])), "table"))
        return made

    def _relations(self, view: View, present: list[str]) -> list[Question]:
        single = [
            o
            for o in view["objects"]
            if sum(p["label"] == o["label"] for p in view["objects"]) == 1 and o["label"] not in view["unsure"]
        ]
        if len(single) < 2:
            return []
        made = []
        for _ in range(2):
            one, two = self.rng.sample(single, 2)
            (ax, ay), (bx, by) = (
                ((o["box"][0] + o["box"][2]) / 2, (o["box"][1] + o["box"][3]) / 2) for o in (one, two)
            )
            if abs(ax - bx) > 0.08 and (self.rng.random() < 0.7 or abs(ay - by) < 0.15):
                side, holds = ("left", ax < bx) if self.rng.random() < 0.75 else ("right", ax > bx)
                word = f"{side} of" if self.rng.random() < 0.8 else f"to the {side} of"
            elif abs(ay - by) > 0.15:
                word, holds = ("above", ay < by) if self.rng.random() < 0.5 else ("below", ay > by)
            else:
                continue
            made.append(
                Question(f"is the {one['label']} {word} the {two['label']}?", "yes" if holds else "no", "relation")
            )
        return made

    def _places(self, view: View) -> list[Question]:
        """Where the only thing of its kind is: left, middle or right third of the picture."""
        made = []
        for thing in view["objects"]:
            alone = (
                sum(o["label"] == thing["label"] for o in view["objects"]) == 1 and thing["label"] not in view["unsure"]
            )
            middle = (thing["box"][0] + thing["box"][2]) / 2
            if alone and self.rng.random() < 0.3 and min(abs(middle - 1 / 3), abs(middle - 2 / 3)) > 0.04:
                place = "on the left" if middle < 1 / 3 else "on the right" if middle > 2 / 3 else "in the middle"
                made.append(Question(f"where is the {thing['label']}?", place, "place"))
        return made[:2]

    def _groups(self, view: View, present: list[str]) -> list[Question]:
        """Whether there is any animal, vehicle, food and so on, as often yes as no."""
        made = []
        for group in self.rng.sample(sorted(GROUPS), len(GROUPS)):
            there = any(label in present for label in GROUPS[group])
            if not there and any(label in view["unsure"] for label in GROUPS[group]):
                continue
            if (there or self.no[group] < self.yes[group]) and self.rng.random() < 0.5:
                (self.yes if there else self.no)[group] += 1
                word = "food" if group == "food" else group if group == "furniture" else article(group)
                form = self.rng.choice(("is there {a} in the picture?", "is there {a}?", "do you see {a}?"))
                made.append(Question(form.format(a=word), "yes" if there else "no", "group"))
        return made[:2]

    def _human(self, view: View) -> list[Question]:
        made = []
        flipped = view["parts"][0]["flip"]
        if view.get("qa") and view["whole"]:
            fit = [qa for qa in view["qa"] if not (flipped and any(word in qa[0] for word in _MIRRORED))]
            for question, answer in self.rng.sample(fit, min(6, len(fit))):
                text = question if self.rng.random() < 0.5 else question.rstrip() + "?"
                made.append(Question(text, answer, "daquar"))
        return made
