"""Questions about what a picture shows as a whole, in the words of the backbone's own class head."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from tools.train.arranged import Asked
from tools.train.crops import View
from tools.train.labels import GROUPS, article, imagenet_to_coco

_THIS = ("what is this?", "what is that?", "name the object.", "what is this thing?", "what is this called?")
_SURE = 0.6
_NAME = (
    "what is this?",
    "what is in the picture?",
    "what do you see?",
    "what is the main object?",
    "what is shown in the picture?",
    "name the object.",
)


@dataclass(slots=True)
class Namer:
    """Asks for names; `names` are those of the class head, in its order."""

    rng: random.Random
    names: list[str]
    kinds: dict[int, str] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.kinds = imagenet_to_coco(self.names) if len(self.names) == 1000 else {}

    def of_class(self, index: int) -> list[Asked]:
        """Questions that the name of the class alone answers."""
        name = self.names[index].lower()
        made = [(self.rng.choice(_THIS) if i else _THIS[0], name, "naming") for i in range(2)]
        made.append(self._named(name, True))
        made.append(self._named(self.rng.choice(self.names).lower(), False))
        label = self.kinds.get(index)
        if label is not None:
            made.append((f"what kind of {label} is this?", name, "naming"))
        self.rng.shuffle(made)
        return made

    def ask(self, view: View, top: list[tuple[int, float]]) -> list[Asked]:
        """Names that the class head gives too: what it does not say cannot be learned from one photo a class."""
        made: list[Asked] = []
        said = self.names[top[0][0]].lower() if top else ""
        if "name" in view:
            name = view["name"].lower()
            if name == said or not top:
                made.append((_THIS[0] if self.rng.random() < 0.5 else self.rng.choice(_NAME), name, "naming"))
            made.append(self._named(name, True))
            made.append(self._named(self.rng.choice(self.names).lower(), False))
            for thing in view["objects"][:1]:
                if thing["label"] in GROUPS["animal"]:
                    made.append(
                        (
                            self.rng.choice(("what animal is in the picture?", "what animal is this?")),
                            thing["label"],
                            "identify",
                        )
                    )
                if thing["label"] in ("dog", "cat", "bird") and name == said:
                    made.append((f"what kind of {thing['label']} is this?", name, "naming"))
                if thing["label"] in GROUPS["vehicle"]:
                    made.append(("what vehicle is in the picture?", thing["label"], "identify"))
        elif top and top[0][1] > _SURE and view["source"] not in ("shapes", "grid"):
            made += self._kind_of(view, top[0][0])
            if self.rng.random() < 0.5:
                made.append((self.rng.choice(_THIS), said, "naming"))
            made.append(self._named(said, True))
            made.append(self._named(self.rng.choice(self.names).lower(), False))
        elif self.rng.random() < 0.3:
            made += self._this(view)
        return made

    def _this(self, view: View) -> list[Asked]:
        """What the head cannot name is called what its largest thing is."""
        area = {o["label"]: (o["box"][2] - o["box"][0]) * (o["box"][3] - o["box"][1]) for o in view["objects"]}
        first = max(area, key=lambda label: area[label], default="")
        return [(self.rng.choice(_THIS), first, "identify")] if area and area[first] > 0.2 else []

    def _kind_of(self, view: View, index: int) -> list[Asked]:
        """The backbone's own name for the only thing of its kind in the view, such as the breed of a dog."""
        label = self.kinds.get(index)
        if label is None or sum(o["label"] == label for o in view["objects"]) != 1:
            return []
        return [(f"what kind of {label} is this?", self.names[index].lower(), "naming")]

    def _named(self, name: str, there: bool) -> Asked:
        word = article(name)
        return (
            self.rng.choice((f"is there {word} in the picture?", f"is this {word}?", f"is there {word}?")),
            "yes" if there else "no",
            "named",
        )
