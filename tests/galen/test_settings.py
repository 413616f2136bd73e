"""YAML settings: what is wrong is named by file, line and field."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from galen.errors import RecipeError
from galen.settings import Settings, apply_overrides, read_yaml, validated


class Optimizer(Settings):
    lr: float = 1e-4
    steps: int = 1


class Recipe(Settings):
    name: str
    optimizer: Optimizer = Optimizer()


names = st.sampled_from(["a", "b", "c"])
values = st.none() | st.integers() | st.text(max_size=3) | st.lists(st.integers(), max_size=2)
trees = st.dictionaries(
    names, st.recursive(values, lambda below: st.dictionaries(names, below, max_size=3))
)
dotted = st.lists(names, min_size=1, max_size=4).map(".".join)
override_lists = st.lists(
    st.builds("{}={}".format, dotted, st.sampled_from(["1", "x", "{a: 1}", "[", ""]))
    | st.text(max_size=4)
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "recipe.yaml"


@given(trees, override_lists)
def test_overrides_never_change_what_they_are_given(
    fields: dict[str, Any], overrides: list[str]
) -> None:
    """The mapping handed in is as it was, whether the overrides are taken or refused."""
    before = deepcopy(fields)
    try:
        apply_overrides(fields, overrides)
    except RecipeError as error:
        assert error.message.startswith("--set ")
    assert fields == before


@given(trees, dotted, st.integers())
def test_an_override_sets_its_field(fields: dict[str, Any], name: str, value: int) -> None:
    """What was set is found under its dotted name, unless a parent has no fields to set."""
    try:
        found: Any = apply_overrides(fields, [f"{name}={value}"])
    except RecipeError as error:
        assert "has no fields of its own" in error.message
        return
    for part in name.split("."):
        found = found[part]
    assert found == value


def test_values_are_read_as_yaml_and_the_last_one_wins() -> None:
    """Numbers, lists and nothing are what they look like; later overrides beat earlier ones."""
    overrides = ["n=1", "n=2", "on=true", "list=[1, x]", "none=", "eq=a=b", "deep.er=1.5"]
    expected = {"n": 2, "on": True, "list": [1, "x"], "none": None, "eq": "a=b"}
    assert apply_overrides({"n": 0}, overrides) == {**expected, "deep": {"er": 1.5}}


@pytest.mark.parametrize("override", ["n", "=1", " =1", "n=[", "n=2024-13-45", "n.x=1"])
def test_a_bad_override_is_quoted(override: str) -> None:
    """The message shows which `--set` was wrong."""
    with pytest.raises(RecipeError) as caught:
        apply_overrides({"n": 0}, [override])
    assert caught.value.message.startswith(f"--set {override!r}: ")


def test_a_good_file_becomes_a_frozen_model(path: Path) -> None:
    """A file's fields become the model's, defaults fill the rest."""
    path.write_text("name: 试验\noptimizer: {steps: 3}\n", encoding="utf-8")
    read = validated(Recipe, read_yaml(path), str(path))
    assert read == Recipe(name="试验", optimizer=Optimizer(lr=1e-4, steps=3))


def test_every_wrong_field_is_named() -> None:
    """One reading names each unknown, missing and ill-typed field, where they stand, and what to
    write instead."""
    with pytest.raises(RecipeError) as caught:
        validated(Recipe, {"optimizer": {"steps": "x", "lrr": 1}, "nam": 1}, "recipe.yaml")
    first, *rest = caught.value.message.splitlines()
    assert first == "recipe.yaml: 4 problem(s)"
    assert set(rest) == {
        "  optimizer.steps: must be a whole number",
        "  optimizer.lrr: unknown here; did you mean optimizer.lr?",
        "  nam: unknown here; did you mean name?",
        "  name: is missing; add it",
    }


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"a: 1\nb: [1\n", "not valid YAML at line 3"),
        (b"a: 1\na b: c: d\n", "not valid YAML at line 2"),
        (b"a: \x00", "not valid YAML"),
        (b"a: !!python/object:os.system x", "not valid YAML at line 1"),
        (b"a: 2024-13-45", "a value cannot be read"),
        (b"- 1\n", "expected a mapping of fields, found list"),
        (b"", "expected a mapping of fields, found NoneType"),
        (b"a: \xff", "not UTF-8 text"),
    ],
)
def test_a_bad_file_is_named_with_the_reason(path: Path, content: bytes, reason: str) -> None:
    """Whatever is wrong with a file, the message says which file, what and, if known, where."""
    path.write_bytes(content)
    with pytest.raises(RecipeError) as caught:
        read_yaml(path)
    assert caught.value.message.startswith(f"{path}: {reason}")


@pytest.mark.parametrize(("name", "reason"), [("none.yaml", "no such file"), (".", "is a folder")])
def test_a_path_that_is_no_file_is_named(tmp_path: Path, name: str, reason: str) -> None:
    """A missing file and a folder are told apart."""
    with pytest.raises(RecipeError, match=reason):
        read_yaml(tmp_path / name)
