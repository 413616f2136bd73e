"""The README and the pages beside it say only what is true of this checkout."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.core import TyperGroup
from typer.main import get_command

from cli.main import app
from galen import DISCLAIMER_EN, DISCLAIMER_ZH
from trainer import recipes

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")
DOCS = sorted((ROOT / "docs").glob("*.md"))
PAGES = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", *(f"docs/{path.name}" for path in DOCS)]
HIDDEN = {".ci"}
"""The only entry with a leading dot that the file tree shows."""


def fenced(text: str) -> Iterator[str]:
    """The insides of a page's fenced code blocks."""
    yield from re.findall(r"^```[a-z]*\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def code_of(text: str) -> str:
    """Everything that a page sets as code: blocks, indented lines, words in backticks."""
    spans = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S))
    indented = re.findall(r"^ {4}(\S.*)$", text, re.MULTILINE)
    return "\n".join([*fenced(text), *indented, *spans])


def galen_commands(text: str) -> list[list[str]]:
    """The words after `galen` in every command of a page, comments left out."""
    lines = re.findall(r"^(?:\$ )?(?:\.venv/bin/)?galen ([a-z].*)$", code_of(text), re.MULTILINE)
    return [shlex.split(line, comments=True) for line in lines]


def tree() -> list[str]:
    """The paths of the README's file tree, folders with a slash at the end."""
    block = next(block for block in fenced(README) if "cli/ " in block)
    paths, folder = [], ""
    for line in block.splitlines():
        name = line.split()[0]
        if line.startswith(" "):
            paths.append(folder + name)
        else:
            paths.append(name)
            folder = name
    return paths


def tracked() -> set[str]:
    """Every path in git's index."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return set(filter(None, listed.stdout.split("\0")))


def heading(text: str) -> str:
    """A heading's anchor as code hosts make it."""
    return re.sub(r"[^\w\- ]", "", text.strip().lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES)
def test_every_galen_command_exists(page: str) -> None:
    """Whatever a page tells the reader to type after `galen`, the command takes it."""
    for words in galen_commands((ROOT / page).read_text("utf-8")):
        command = get_command(app)
        name = "galen"
        while isinstance(command, TyperGroup) and words:
            name = f"{name} {words[0]}"
            assert words[0] in command.commands, f"{page}: no command `{name}`"
            command = command.commands[words.pop(0)]
        if words:  # a bare name in a sentence needs no arguments
            command.make_context(name, words)


def test_the_readme_names_every_command() -> None:
    """No command is left out of the README."""

    def names(command: object, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        if isinstance(command, TyperGroup):
            for name, inner in command.commands.items():
                yield from names(inner, (*path, name))
        else:
            yield path

    shown = galen_commands(README)
    for path in names(get_command(app), ()):
        assert any(tuple(words[: len(path)]) == path for words in shown), " ".join(path)


@pytest.mark.parametrize("page", PAGES)
def test_every_make_target_exists(page: str) -> None:
    """Whatever a page tells the reader to make is a target or a variable of the Makefile."""
    makefile = (ROOT / "Makefile").read_text("utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    variables = set(re.findall(r"^([A-Z]+) \?=", makefile, re.MULTILINE)) | {"GPU"}
    code = code_of((ROOT / page).read_text("utf-8"))
    for line in re.findall(r"^make ([A-Za-z].*)$", code, re.MULTILINE):
        for word in shlex.split(line, comments=True):
            name, given, _ = word.partition("=")
            assert name in (variables if given else targets), f"{page}: make {line}"


def test_the_overrides_shown_are_accepted() -> None:
    """Every recipe that the README trains or compares takes the fields that it sets there."""
    shown = [words for words in galen_commands(README) if words[0] in ("train", "compare")]
    files = [words for words in shown if len(words) > 1 and words[1].endswith(".yaml")]
    assert files
    for _, path, *rest in files:
        recipes.load(ROOT / path, [word for word in rest if word != "--set"])


def test_every_path_of_the_file_tree_exists() -> None:
    """The file tree names nothing that a clone does not hold."""
    files = tracked()
    for path in tree():
        held = any(f.startswith(path) for f in files) if path.endswith("/") else path in files
        assert held, path


def test_the_file_tree_shows_the_whole_top_level() -> None:
    """Every folder and file at the top of a clone has its line, dot files aside."""
    top = {
        f"{path.partition('/')[0]}/" if "/" in path else path
        for path in tracked()
        if not path.startswith(".") or path.partition("/")[0] in HIDDEN
    }
    shown = [path for path in tree() if path.rstrip("/").count("/") == 0]
    assert sorted(top) == sorted(shown)


@pytest.mark.parametrize("page", PAGES)
def test_every_relative_link_leads_somewhere(page: str) -> None:
    """A link to a file, a picture or a heading of this checkout finds it."""
    source = ROOT / page
    for target in re.findall(r"\]\(([^)\s]+)\)", source.read_text("utf-8")):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        found = (source.parent / path).resolve() if path else source
        assert str(found.relative_to(ROOT)) in tracked(), f"{page}: {target}"
        if anchor:
            headings = re.findall(r"^#+ (.*)$", found.read_text("utf-8"), re.MULTILINE)
            assert anchor in map(heading, headings), f"{page}: {target}"


def test_the_disclaimer_is_there_in_both_languages() -> None:
    """Whoever reads the README reads that nothing here is a diagnosis."""
    assert DISCLAIMER_ZH in README
    assert DISCLAIMER_EN in README
