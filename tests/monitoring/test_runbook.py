"""The commands of the runbook are commands that there are; somebody types them at night."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from tagloom.cli.app import main

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted((ROOT / "docs" / "runbook").glob("*.md"))
FENCED = re.compile(r"^```[a-z]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`(tagloom [^`]+)`")


def commands(page: Path) -> list[str]:
    """Lines of the page that call `tagloom`, without what the shell does with their output."""
    text = page.read_text()
    lines = [line for block in FENCED.findall(text) for line in block.splitlines()]
    found = [line.partition(" | ")[0] for line in lines if line.startswith("tagloom ")]
    return [*found, *INLINE.findall(FENCED.sub("", text))]


def parse(command: str) -> None:
    """Raises click.UsageError where the command line would."""
    words = shlex.split(command)[1:]
    group: click.Command = main
    parent: click.Context | None = None
    while isinstance(group, click.Group):
        if group.invoke_without_command and (not words or words[0].startswith("-")):
            break  # a command that has others below it
        context = click.Context(group, info_name=group.name, parent=parent)
        name, found, words = group.resolve_command(context, words)
        assert found is not None, name
        group, parent = found, context
    given = " ".join(words)
    required = [
        parameter.opts[0]
        for parameter in group.params
        if isinstance(parameter, click.Option) and parameter.required
    ]
    # Prose leaves out what does not matter there; what is said must be right.
    for option in required:
        if option not in given:
            words += [option, "256"]
    group.make_context(str(group.name), words, parent=parent)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_command_is_understood(page: Path) -> None:
    for command in commands(page):
        try:
            parse(command)
        except click.UsageError as error:
            raise AssertionError(f"{command}: {error.format_message()}") from None


def test_a_wrong_command_would_be_noticed() -> None:
    for wrong in ("tagloom operation list", "tagloom get", "tagloom train --keep 3"):
        with pytest.raises(click.UsageError):
            parse(wrong)


@pytest.mark.parametrize("page", [*PAGES, ROOT / "docs" / "monitoring.md"], ids=lambda p: p.stem)
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        if "://" not in link:
            assert (page.parent / link).exists(), link
