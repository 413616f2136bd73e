"""The version picker."""

from __future__ import annotations

import pytest

from server.schemas import PolicyState
from webui import versions


def state(current: str, **loaded: bool) -> PolicyState:
    cards = [
        {"name": name, "kind": "merged", "sha256": "0" * 64, "loaded": is_loaded}
        for name, is_loaded in loaded.items()
    ]
    return PolicyState.model_validate({"current": current, "versions": cards, "disclaimer": "x"})


def test_current_version_comes_first_and_others_say_what_choosing_them_does() -> None:
    """A label tells whether a choice concerns this page or everybody."""
    assert versions.choices(state("b", a=True, b=True, c=False)) == [
        ("b · 当前 current", "b"),
        ("a · 已加载 loaded", "a"),
        ("c · 全体切换 for all", "c"),
    ]


def test_current_version_is_a_choice_though_the_list_lacks_it() -> None:
    """The base weights serve before any version was published."""
    assert versions.choices(state("base")) == [("base · 当前 current", "base")]
    assert versions.is_loaded(state("base"), "base")


def test_only_unloaded_versions_need_the_warning() -> None:
    """Where all versions live side by side, no choice concerns anybody else."""
    assert versions.some_unloaded(state("a", a=True, b=False))
    assert not versions.some_unloaded(state("a", a=True, b=True))


@pytest.mark.parametrize(
    ("picked", "current", "model"),
    [
        (None, None, "policy"),
        ("ppo-1", "ppo-1", "policy"),
        ("sft", "ppo-1", "policy@sft"),
        ("base", "ppo-1", "base"),
    ],
)
def test_model_name(picked: str | None, current: str | None, model: str) -> None:
    """The current version goes by `policy`, so that it follows a switch; others by their names."""
    assert versions.model_name(picked, current) == model
