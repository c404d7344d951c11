"""Names of things: COCO's 80 labels, their plurals and groups, and which ImageNet classes are one of them."""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path

COCO = [
    "person",
    "bicycle",
    "car",
    "motorcycle",
    "airplane",
    "bus",
    "train",
    "truck",
    "boat",
    "traffic light",
    "fire hydrant",
    "stop sign",
    "parking meter",
    "bench",
    "bird",
    "cat",
    "dog",
    "horse",
    "sheep",
    "cow",
    "elephant",
    "bear",
    "zebra",
    "giraffe",
    "backpack",
    "umbrella",
    "handbag",
    "tie",
    "suitcase",
    "frisbee",
    "skis",
    "snowboard",
    "sports ball",
    "kite",
    "baseball bat",
    "baseball glove",
    "skateboard",
    "surfboard",
    "tennis racket",
    "bottle",
    "wine glass",
    "cup",
    "fork",
    "knife",
    "spoon",
    "bowl",
    "banana",
    "apple",
    "sandwich",
    "orange",
    "broccoli",
    "carrot",
    "hot dog",
    "pizza",
    "donut",
    "cake",
    "chair",
    "couch",
    "potted plant",
    "bed",
    "dining table",
    "toilet",
    "tv",
    "laptop",
    "mouse",
    "remote",
    "keyboard",
    "cell phone",
    "microwave",
    "oven",
    "toaster",
    "sink",
    "refrigerator",
    "book",
    "clock",
    "vase",
    "scissors",
    "teddy bear",
    "hair drier",
    "toothbrush",
]

GROUPS: dict[str, tuple[str, ...]] = {
    "animal": ("bird", "cat", "dog", "horse", "sheep", "cow", "elephant", "bear", "zebra", "giraffe"),
    "vehicle": ("bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat"),
    "food": ("banana", "apple", "sandwich", "orange", "broccoli", "carrot", "hot dog", "pizza", "donut", "cake"),
    "furniture": ("chair", "couch", "bed", "dining table", "bench"),
    "fruit": ("banana", "apple", "orange"),
    "appliance": ("microwave", "oven", "toaster", "refrigerator"),
    "electronic device": ("tv", "laptop", "cell phone", "remote", "keyboard", "mouse"),
}

_IRREGULAR = {
    "person": "people",
    "skis": "skis",
    "scissors": "scissors",
    "sheep": "sheep",
    "mouse": "mice",
    "knife": "knives",
    "broccoli": "broccolis",
    "tie": "ties",
    "cow": "cows",
}

SYNONYMS: dict[str, tuple[str, ...]] = {
    "person": ("man", "woman", "human", "somebody", "someone"),
    "tv": ("television", "screen", "monitor"),
    "couch": ("sofa",),
    "dining table": ("table",),
    "cell phone": ("phone", "mobile phone", "smartphone"),
    "motorcycle": ("motorbike",),
    "airplane": ("plane", "aeroplane"),
    "bicycle": ("bike",),
    "potted plant": ("plant",),
    "refrigerator": ("fridge",),
    "sports ball": ("ball",),
    "laptop": ("computer", "notebook"),
    "cup": ("mug",),
    "donut": ("doughnut",),
}

# COCO label to the ImageNet class names that are kinds of it (dogs are added by their range of numbers).
_IMAGENET = {
    "bicycle": "mountain bike|bicycle-built-for-two",
    "car": "sports car|convertible|cab|jeep|minivan|limousine|beach wagon|racer|Model T",
    "motorcycle": "moped|motor scooter",
    "airplane": "airliner|warplane",
    "bus": "minibus|school bus|trolleybus",
    "train": "bullet train|electric locomotive|steam locomotive|passenger car|freight car",
    "truck": "pickup|garbage truck|tow truck|trailer truck|fire engine|moving van",
    "boat": "speedboat|canoe|lifeboat|gondola|catamaran|trimaran|fireboat|yawl",
    "traffic light": "traffic light",
    "parking meter": "parking meter",
    "bench": "park bench",
    "bird": (
        "cock|hen|ostrich|brambling|goldfinch|house finch|junco|indigo bunting|robin|bulbul|jay|"
        "magpie|chickadee|water ouzel|kite|bald eagle|vulture|great grey owl|African grey|macaw|"
        "lorikeet|coucal|bee eater|hornbill|hummingbird|jacamar|toucan|drake|goose|black swan|white "
        "stork|black stork|spoonbill|flamingo|little blue heron|American egret|bittern|crane bird|"
        "limpkin|European gallinule|American coot|bustard|ruddy turnstone|red-backed sandpiper|"
        "redshank|dowitcher|oystercatcher|pelican|king penguin|albatross|peacock|quail|partridge|"
        "black grouse|ptarmigan|ruffed grouse|prairie chicken|sulphur-crested cockatoo|red-breasted "
        "merganser"
    ),
    "cat": "tabby|tiger cat|Persian cat|Siamese cat|Egyptian cat",
    "horse": "sorrel",
    "sheep": "ram|bighorn",
    "cow": "ox",
    "elephant": "Indian elephant|African elephant|tusker",
    "bear": "brown bear|American black bear|ice bear|sloth bear",
    "zebra": "zebra",
    "backpack": "backpack",
    "umbrella": "umbrella",
    "handbag": "purse",
    "tie": "Windsor tie|bow tie",
    "snowboard": "",
    "skis": "ski",
    "sports ball": "soccer ball|basketball|volleyball|tennis ball|rugby ball|baseball|croquet ball",
    "tennis racket": "racket",
    "bottle": "wine bottle|beer bottle|water bottle|pop bottle|pill bottle",
    "wine glass": "goblet|red wine",
    "cup": "cup|coffee mug|espresso",
    "spoon": "wooden spoon",
    "bowl": "mixing bowl|soup bowl",
    "banana": "banana",
    "apple": "Granny Smith",
    "sandwich": "cheeseburger",
    "orange": "orange",
    "broccoli": "broccoli",
    "hot dog": "hotdog",
    "pizza": "pizza",
    "donut": "bagel",
    "cake": "trifle",
    "chair": "folding chair|rocking chair|barber chair",
    "couch": "studio couch",
    "potted plant": "pot",
    "bed": "four-poster|daybed",
    "dining table": "dining table",
    "toilet": "toilet seat",
    "tv": "television|monitor|screen",
    "laptop": "laptop|notebook",
    "mouse": "mouse",
    "remote": "remote control",
    "keyboard": "computer keyboard|typewriter keyboard",
    "cell phone": "cellular telephone",
    "microwave": "microwave",
    "oven": "stove|rotisserie",
    "toaster": "toaster",
    "sink": "washbasin",
    "refrigerator": "refrigerator",
    "book": "comic book|book jacket",
    "clock": "analog clock|wall clock|digital clock",
    "vase": "vase",
    "teddy bear": "teddy",
    "hair drier": "hand blower",
}
_FIRST_DOG, _LAST_DOG = 151, 268


def plural(label: str) -> str:
    """The plural of a COCO label, as its questions spell it."""
    if label in _IRREGULAR:
        return _IRREGULAR[label]
    if label.endswith(("ss", "sh", "ch", "x", "s")):
        return label + "es"
    if label.endswith("y") and label[-2] not in "aeiou":
        return label[:-1] + "ies"
    return label + "s"


def article(label: str) -> str:
    """`label` with "a" or "an" before it."""
    return ("an " if label[0] in "aeiou" else "a ") + label


def imagenet_names() -> list[str]:
    """The 1000 class names in the order of the class head, read from torchvision's source without importing it."""
    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None:
        raise SystemExit(
            "torchvision is missing (only its list of class names is read): pip install --no-deps torchvision"
        )
    tree = ast.parse((Path(spec.origin).parent / "models" / "_meta.py").read_text("utf-8"))
    for node in tree.body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "_IMAGENET_CATEGORIES":
            return [str(name) for name in ast.literal_eval(node.value)]
    raise SystemExit("this torchvision has no list of ImageNet categories: install another version of it")


def imagenet_to_coco(names: list[str]) -> dict[int, str]:
    """Index of the ImageNet class (in `names`, 1000 of them) to the COCO label that it is a kind of."""
    wanted = {name.lower(): coco for coco, words in _IMAGENET.items() for name in words.split("|") if name}
    found = {i: wanted[n.lower()] for i, n in enumerate(names) if n.lower() in wanted}
    found.update(dict.fromkeys(range(_FIRST_DOG, _LAST_DOG + 1), "dog"))
    return found
