"""What the documents tell a reader to type exists with those options; every link and picture is there."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from cloud_stub.options import _parser
from edge_agent.cli.main import COMMANDS, cli
from written import ROOT, anchors, commands, documents, links, words

every_document = pytest.mark.parametrize("path", documents(), ids=lambda path: str(path.relative_to(ROOT)))


def problem(arguments: list[str]) -> str:
    """Why `edge-agent` would not take these arguments; empty if it would. Values are not looked at."""
    command: click.Command = cli
    context = click.Context(cli, info_name="edge-agent")
    while isinstance(command, click.Group) and arguments and not arguments[0].startswith("-"):
        found = command.get_command(context, arguments[0])
        if found is None:
            return f"{context.command_path} has no command {arguments[0]!r}"
        context = click.Context(found, parent=context, info_name=arguments[0])
        command, arguments = found, arguments[1:]
    try:
        _, more, _ = command.make_parser(context).parse_args(list(arguments))
    except click.UsageError as error:
        return f"{context.command_path}: {error.format_message()}"
    return f"{context.command_path} takes no {more}" if more and not isinstance(command, click.Group) else ""


@every_document
def test_every_command_line_of_the_documents_is_understood(path: Path) -> None:
    wrong = [f"line {n}: {said}" for n, line in commands(path, "edge-agent") if (said := problem(line))]
    assert wrong == []


@every_document
def test_every_way_to_start_the_cloud_is_understood(path: Path) -> None:
    known = {name for action in _parser()._actions for name in action.option_strings}
    for number, line in commands(path, "python -m cloud_stub"):
        assert {word.split("=")[0] for word in line if word.startswith("--")} <= known, f"line {number}"


@every_document
def test_every_tool_that_is_named_is_there(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    modules = {name.rstrip(".").replace(".", "/") for name in re.findall(r"python -m (tools\.[\w.]+)", text)}
    missing = {name for name in modules if not (ROOT / f"{name}.py").is_file() and not (ROOT / name).is_dir()}
    missing |= {
        name for name in re.findall(r"(?<![\w/])tools/[\w/]+\.(?:sh|py|json)", text) if not (ROOT / name).is_file()
    }
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    missing |= {f"make {line[0]}" for _, line in commands(path, "make") if line and line[0] not in targets}
    assert missing == set()


@every_document
def test_every_link_and_picture_leads_somewhere(path: Path) -> None:
    lost = []
    for number, target in links(path):
        name, _, anchor = target.partition("#")
        there = (path.parent / name) if name else path
        if not there.exists() or (anchor and anchor not in anchors(there)):
            lost.append(f"line {number}: {target}")
    assert lost == []


def test_the_readme_leads_to_every_document() -> None:
    led = {(ROOT / target.partition("#")[0]).resolve() for _, target in links(ROOT / "README.md")}
    assert {path.name for path in (ROOT / "docs").glob("*.md") if path.resolve() not in led} == set()


def test_every_decision_has_a_number_of_its_own_and_a_row_in_the_index() -> None:
    folder = ROOT / "docs" / "decisions"
    names = sorted(path.name for path in folder.glob("[0-9]*.md"))
    assert re.findall(r"\]\((\d+-[^)]+)\)", (folder / "README.md").read_text("utf-8")) == names
    assert len({name[:4] for name in names}) == len(names) > 0


def test_the_readme_has_a_row_for_every_command() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`.+?) \|", text, re.MULTILINE)
    assert set(COMMANDS) - {row.split("`")[1].split()[0] for row in rows} == set()


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ('edge-agent ask --image a.jpg "what?"  # a comment', ""),
        ("edge-agent eval vqa --data FILE | head", ""),
        ("edge-agent ask --picture a.jpg", "No such option"),
        ("edge-agent eval vqa3 --data FILE", "no command 'vqa3'"),
        ("edge-agent ask --image", "requires an argument"),
        ("edge-agent doctor now", "takes no ['now']"),
    ],
)
def test_a_command_line_that_does_not_exist_is_found(line: str, wrong: str) -> None:
    said = problem(words(line.removeprefix("edge-agent")))
    assert wrong in said
    assert bool(said) == bool(wrong)


def test_command_lines_are_found_in_blocks_and_spans(tmp_path: Path) -> None:
    path = tmp_path / "x.md"
    lines = [
        "a `edge-agent ask` b",
        "",
        "    sudo /opt/x/bin/edge-agent run --api  # c",
        "```",
        "edge-agent demo",
        "```",
    ]
    path.write_text("\n".join([*lines, "edge-agent is", "    journalctl -u edge-agent -f"]))
    assert list(commands(path, "edge-agent")) == [(1, ["ask"]), (3, ["run", "--api"]), (5, ["demo"])]
