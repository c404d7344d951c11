"""The masks in force: those of the configuration, and those drawn in the page, kept in the state folder."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from edge_agent.api.refusals import Refusal, bad
from edge_agent.errors import UsageError
from edge_agent.sources.masks import Mask, checked, masks_of

MAX_BYTES = 100_000
HINT = "mend it, or delete it to start without masks"


class Masks:
    """`fixed` cannot be changed from the page. A file that cannot be read stops the agent: what was to be hidden must
    not be shown because of a damaged disk. `changed` is called after each change.
    """

    def __init__(self, fixed: str, path: Path) -> None:
        self.fixed = masks_of(fixed)
        self._path = path
        self.changed: Callable[[], None] = lambda: None
        self.drawn = self._load()

    def __call__(self) -> Sequence[Mask]:
        """All masks of this moment."""
        return (*self.fixed, *self.drawn)

    def draw(self, body: Any) -> None:
        """Replace the drawn ones by `{"masks": [[left, top, width, height], ...]}`, on disk first. Raises Refusal."""
        drawn = _masks(body)
        fresh = self._path.with_name(self._path.name + ".new")
        text = json.dumps({"masks": _plain(drawn)})
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            fresh.write_text(text, encoding="utf-8")
            fresh.replace(self._path)
        except OSError as error:
            with contextlib.suppress(OSError):
                fresh.unlink()
            words = f"the masks cannot be kept ({error.strerror or error})"
            raise Refusal(500, words, "nothing was changed; free some space", code="disk") from error
        self.drawn = drawn
        self.changed()

    def plain(self) -> dict[str, Any]:
        """As JSON."""
        return {"fixed": _plain(self.fixed), "masks": _plain(self.drawn)}

    def _load(self) -> tuple[Mask, ...]:
        try:
            if self._path.stat().st_size > MAX_BYTES:
                raise UsageError(f"{self._path} is no list of masks", HINT)
            return _masks(json.loads(self._path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return ()
        except NotADirectoryError as error:
            raise UsageError(f"{self._path.parent} is no folder", "set run.state_dir to another folder") from error
        except (OSError, ValueError, Refusal) as error:
            raise UsageError(f"{self._path} cannot be read: {error}", HINT) from error


def _masks(body: Any) -> tuple[Mask, ...]:
    given = body.get("masks") if isinstance(body, dict) else None
    numbers = isinstance(given, list) and all(
        isinstance(one, list) and len(one) == 4 and all(type(number) in (int, float) for number in one) for one in given
    )
    if not isinstance(given, list) or not numbers:
        raise bad("masks is no list of four numbers each", '{"masks": [[left, top, width, height], ...]}', "masks")
    try:
        return checked([Mask(*map(float, one)) for one in given])
    except UsageError as error:
        raise bad(error.message, error.hint, "masks") from error


def _plain(masks: Sequence[Mask]) -> list[list[float]]:
    return [[mask.left, mask.top, mask.width, mask.height] for mask in masks]
