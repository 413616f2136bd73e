"""The version picker's choices, and the model name for each."""

from __future__ import annotations

from server.schemas import BASE, PolicyState
from webui.text import Notice

INFO = Notice(
    "标“全体切换”的版本尚未加载：选择它会改变所有人得到的回答。",
    "A version marked “for all” is not loaded: choosing it changes what everybody gets.",
)


def choices(state: PolicyState) -> list[tuple[str, str]]:
    """(label, name) of every version, the current one first."""
    known = {card.name: card.loaded for card in state.versions}
    known.setdefault(state.current, True)
    return sorted(
        ((_label(name, loaded, state.current), name) for name, loaded in known.items()),
        key=lambda choice: choice[1] != state.current,
    )


def _label(name: str, loaded: bool, current: str) -> str:
    if name == current:
        return f"{name} · 当前 current"
    return f"{name} · 已加载 loaded" if loaded else f"{name} · 全体切换 for all"


def is_loaded(state: PolicyState, name: str) -> bool:
    """Whether a request may name this version now."""
    return name == state.current or any(v.loaded for v in state.versions if v.name == name)


def some_unloaded(state: PolicyState) -> bool:
    """Whether the picker has a version that can be loaded only by switching for everybody."""
    return not all(is_loaded(state, card.name) for card in state.versions)


def model_name(picked: str | None, current: str | None) -> str:
    """The request's `model`: `policy` for the current version, which follows later switches."""
    if picked is None or picked == current:
        return "policy"
    return BASE if picked == BASE else f"policy@{picked}"


NOT_YOURS = Notice(
    "切换所有人的版本需要 admin 角色的密钥。可以选择已加载的版本。",
    "Switching for everybody needs a key with the role admin. You may choose a loaded version.",
)


def switched(name: str) -> Notice:
    return Notice(
        f"已切换到 {name}：从现在起所有人得到的都是这个版本的回答。",
        f"Switched to {name}: from now on everybody gets this version's answers.",
    )


def selected(name: str) -> Notice:
    return Notice(
        f"本页面现在由 {name} 回答，其他人不受影响。",
        f"{name} answers on this page now; nobody else is affected.",
    )


def switching(name: str) -> Notice:
    return Notice(
        f"正在为所有人切换到 {name}，可能需要一分钟…",
        f"Switching everybody to {name}; this may take a minute…",
    )


def server_says(notice: str) -> Notice:
    return Notice(f"策略服务提示：{notice}", "The policy server says so.")
