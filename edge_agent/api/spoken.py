"""What of a growing answer may be told already: text that will stand, whatever happens next."""

from __future__ import annotations

from edge_agent.types import Answer, Route, TokenEvent


class Spoken:
    """Collects one answer. A client cannot take back what it was told, so only the device's own words are told as they
    come: a cloud may fail half way, and the device then answers instead. Drafts are never told as
    an answer, see replies.provisional_event.

    The text of all that was told is always a beginning of the answer's, and with `rest` the whole of it.
    """

    def __init__(self) -> None:
        self._whole = ""
        self.told = ""

    def add(self, route: Route, event: TokenEvent) -> str:
        """What one more token adds to what may be told; often nothing."""
        if route is not Route.LOCAL:
            return ""
        self._whole += event.text
        return self._tell(self._whole.strip())  # space at an end may turn out to be none of the answer

    def rest(self, answer: Answer, stops: tuple[str, ...] = ()) -> str:
        """What of the answer was not told yet."""
        return self._tell(spoken_text(answer, stops))

    def _tell(self, whole: str) -> str:
        if not whole.startswith(self.told):
            raise ValueError(f"told {self.told!r}, which {whole!r} does not begin with")
        fresh = whole[len(self.told) :]
        self.told = whole
        return fresh


def spoken_text(answer: Answer, stops: tuple[str, ...] = ()) -> str:
    """An answer's text, cut at the first of `stops`: a cloud does not know of them."""
    ends = [at for stop in stops if (at := answer.text.find(stop)) >= 0]
    return answer.text[: min(ends)].rstrip() if ends else answer.text
