"""Text of the documentation that a tool writes, between the two marks that name the tool."""

from __future__ import annotations

from pathlib import Path

DOCS = Path(__file__).resolve().parents[1] / "docs"


def write_marked(page: Path, name: str, text: str) -> None:
    """Replaces what stands on `page` between `<!-- NAME: ... -->` and `<!-- end of NAME -->`. SystemExit without."""
    whole = page.read_text(encoding="utf-8")
    before, mark, rest = whole.partition(f"<!-- {name}: ")
    command, closed, rest = rest.partition("-->")
    _, end, after = rest.partition(f"<!-- end of {name} -->")
    if not (mark and closed and end):
        raise SystemExit(f"{page}: no marks of {name}")
    page.write_text(f"{before}{mark}{command}{closed}\n{text}\n{end}{after}", encoding="utf-8")
