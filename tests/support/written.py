"""What the documents say: their command lines, links and pictures, as a reader would type or follow them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FENCE = re.compile(r"^\s*```")
SPAN = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
BEFORE = r"\s*(?:\$\s+|sudo\s+|\w+=\S+\s+)*(?:[\w./-]*/)?"
"""What may stand before a program: a prompt, `sudo`, settings, its folder."""
ENDS = {"|", "||", "&", "&&", ";", ">", ">>", "<", "#"}


def documents() -> list[Path]:
    """All that a reader is meant to follow; not what is only a record (CHANGELOG, decisions)."""
    found = [ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
    for pattern in ("docs/*.md", "models/*/README.md", "tools/*/README.md"):
        found += sorted(ROOT.glob(pattern))
    return found


def commands(path: Path, *programs: str) -> Iterator[tuple[int, list[str]]]:
    """Line number and words behind the program, of each command line in code that starts one of `programs`."""
    fenced = False
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if FENCE.match(line):
            fenced = not fenced
            continue
        block = fenced or line.startswith("    ")
        for code in [line] if block else SPAN.findall(line):
            for program in programs:
                if behind := re.match(rf"{BEFORE}{re.escape(program)}(?=\s|$)(.*)", code):
                    yield number, words(behind[1])


def words(text: str) -> list[str]:
    """The arguments up to a comment, a pipe or the next command; placeholders such as `...` and `[--x]` left out."""
    lexer = shlex.shlex(text, posix=True, punctuation_chars="|&;<>")
    lexer.whitespace_split = True
    lexer.commenters = "#"
    made: list[str] = []
    for word in lexer:
        if word in ENDS:
            break
        if word.strip("[]") not in ("...", "…"):
            made.append(word.rstrip("]").lstrip("["))
    return made


def links(path: Path) -> Iterator[tuple[int, str]]:
    """Line number and target of each link and picture that stays within the project."""
    fenced = False
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        fenced ^= FENCE.match(line) is not None
        for target in [] if fenced else LINK.findall(SPAN.sub("", line)):
            if "://" not in target and not target.startswith("mailto:"):
                yield number, target


def anchors(path: Path) -> set[str]:
    """What `#...` may name in a document: its headings, as they are made into anchors."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}
