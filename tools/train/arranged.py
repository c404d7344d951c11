"""Questions about mosaics, whose every cell is known: count, comparison, relation, corner."""

from __future__ import annotations

import random
from collections import Counter

from tools.train.crops import View
from tools.train.labels import plural

Asked = tuple[str, str, str]
"""Question, answer, kind."""
_COUNT = ("how many {s} are in the picture?", "how many {s} are there?", "how many {s} do you see?", "count the {s}.")
_MORE = ("are there more {a} than {b}?", "are there more {a} than {b} in the picture?", "do you see more {a} than {b}?")
_FEWER = ("are there fewer {a} than {b}?", "are there less {a} than {b}?")
_ACROSS = {0: "left", 1: "middle", 2: "right"}
_DOWN = {0: "top", 1: "middle", 2: "bottom"}


def counted(view: View) -> dict[str, int]:
    """How often each label is there that can be asked about."""
    seen = Counter(thing["label"] for thing in view["objects"])
    return {label: number for label, number in seen.items() if label not in view["unsure"]}


def counts(view: View, rng: random.Random, most: int = 3) -> list[Asked]:
    """How many, of numbers drawn as evenly as the view allows: things that are alone are asked about less often."""
    known = counted(view)
    many = [label for label in known if known[label] > 1]
    alone = [label for label in known if known[label] == 1]
    labels = rng.sample(many, min(most, len(many)))
    labels += rng.sample(alone, min(1, len(alone))) if rng.random() < 0.5 or not many else []
    return [(rng.choice(_COUNT).format(s=plural(k)), str(known[k]), "count") for k in labels]


def comparisons(view: View, rng: random.Random, most: int = 3) -> list[Asked]:
    """Whether there are more of one than of another: as often yes as no."""
    known = counted(view)
    pairs = [(a, b) for a in known for b in known if known[a] > known[b]]
    made = []
    for a, b in rng.sample(pairs, min(most, len(pairs))):
        forms, one, two = (_MORE, a, b) if rng.random() < 0.75 else (_FEWER, b, a)
        yes = rng.random() < 0.5
        first, second = (one, two) if yes else (two, one)
        text = rng.choice(forms).format(a=plural(first), b=plural(second))
        made.append((text, "yes" if yes else "no", "compare"))
    return made


def relations(view: View, rng: random.Random, most: int = 3) -> list[Asked]:
    """Left of, right of, above, below, between things of which there is one each: as often yes as no."""
    known = counted(view)
    single = [thing for thing in view["objects"] if known.get(thing["label"]) == 1]
    made: list[Asked] = []
    for _ in range(most * 3):
        if len(single) < 2 or len(made) >= most:
            break
        one, two = rng.sample(single, 2)
        across = (one["box"][0] + one["box"][2] - two["box"][0] - two["box"][2]) / 2
        down = (one["box"][1] + one["box"][3] - two["box"][1] - two["box"][3]) / 2
        sideways = rng.random() < 0.65
        if abs(across if sideways else down) < 0.2:
            continue
        if sideways:
            word, holds = ("left of", across < 0) if rng.random() < 0.6 else ("right of", across > 0)
        else:
            word, holds = ("above", down < 0) if rng.random() < 0.5 else ("below", down > 0)
        if holds != (rng.random() < 0.5):
            one, two, holds = two, one, not holds
        made.append((f"is the {one['label']} {word} the {two['label']}?", "yes" if holds else "no", "relation"))
    return list(dict.fromkeys(made))


def corners(view: View, rng: random.Random, most: int = 2) -> list[Asked]:
    """What stands in a cell, and in which cell a thing stands."""
    columns, rows = view["cells"]
    known, made = counted(view), []
    for thing in rng.sample(view["objects"], min(most, len(view["objects"]))):
        label = thing["label"]
        if label not in known:
            continue
        x = round(thing["box"][0] * columns) * 2 // max(1, columns - 1)
        y = round(thing["box"][1] * rows) * 2 // max(1, rows - 1)
        place = "center" if x == y == 1 else f"{_DOWN[y]} {_ACROSS[x]}"
        if rng.random() < 0.7 or known[label] > 1:
            made.append((f"what is in the {place}?", label, "place"))
        else:
            made.append((f"where is the {label}?", f"{place}", "place"))
    return made


def ask_grid(view: View, rng: random.Random) -> list[Asked]:
    """All that can be asked of a mosaic's arrangement; numbers from 3 on twice, as there are few of them."""
    large = [one for one in counts(view, rng) if int(one[1]) > 2]
    return [*counts(view, rng), *large, *comparisons(view, rng, 4), *relations(view, rng, 5), *corners(view, rng)]
