"""One Prometheus text out of several: the gateway's own metrics and each engine's.

A scrape must hold each family once, so the engines' families are merged and their samples told
apart by the label `engine`. A label of that name which an engine gave itself is kept as
`exported_engine`, as Prometheus does where two labels clash.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

ENGINE_LABEL = "engine"
_HIDDEN = "model_name"
"""The engine's own name for its weights: made anew at each start, so it would make new series of
all; and nobody outside is to know it."""
_PARTS = {"histogram": ("_bucket", "_sum", "_count"), "summary": ("_sum", "_count")}
_HEAD = re.compile(
    r"# (?:(HELP) ([a-zA-Z_:][a-zA-Z0-9_:]*) (.*)"
    r"|(TYPE) ([a-zA-Z_:][a-zA-Z0-9_:]*) (counter|gauge|histogram|summary|untyped))",
    re.ASCII,
)
_PAIR = r'[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\.)*"'
_NUMBER = r"[-+]?(?:[0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?|[0-9]+\.|Inf|NaN)"
_SERIES = re.compile(rf"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{{((?:{_PAIR},?)*)\}})?", re.ASCII)
_VALUE = re.compile(_NUMBER, re.ASCII)
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"')


@dataclass(slots=True)
class _Family:
    """What a text says of one metric. `series` maps a series as it is written to its value."""

    help: str = ""
    kind: str = ""
    series: dict[str, str] = field(default_factory=dict)

    def lines(self, name: str) -> Iterator[str]:
        if self.help:
            yield f"# HELP {name} {self.help}"
        if self.kind:
            yield f"# TYPE {name} {self.kind}"
        for series, value in self.series.items():
            yield f"{series} {value}"


def merge(own: str, engines: Sequence[tuple[str, str]]) -> str:
    """The gateway's text and those of its engines, each given with its label, as one valid text.

    Where two texts call one family by different types, the first is right and the other's samples
    of it are left out. Lines that are neither heads nor samples without a time are left out, too.
    """
    merged = _read(own, None)
    for engine, text in engines:
        for name, family in _read(text, engine).items():
            known = merged.setdefault(name, _Family(family.help, family.kind))
            if known.kind == family.kind:
                for series, value in family.series.items():
                    known.series.setdefault(series, value)
    lines = [line for name, family in merged.items() for line in family.lines(name)]
    return "".join(f"{line}\n" for line in lines)


def _read(text: str, engine: str | None) -> dict[str, _Family]:
    """A text's families by name, in order; with `engine`, every series says that it is of that."""
    families: dict[str, _Family] = {}
    current = ""
    for line in text.split("\n"):  # a label may hold what `splitlines` takes for the end of a line
        if head := _HEAD.fullmatch(line):
            what, current, said = (part for part in head.groups() if part is not None)
            family = families.setdefault(current, _Family())
            if what == "HELP":
                family.help = said
            else:
                family.kind = said
            continue
        written, _, value = line.rpartition(" ")
        named = _series(written, engine)
        if named and _VALUE.fullmatch(value):
            name, series = named
            home = current if _belongs(name, current, families) else name
            families.setdefault(home, _Family()).series.setdefault(series, value)
    return families


@functools.lru_cache(maxsize=32768)
def _series(written: str, engine: str | None) -> tuple[str, str] | None:
    """A sample's name, and its series as it is to be written; None if it is none.

    Remembered, since from one scrape to the next only values change, and reading a thousand
    series anew would hold up requests for some twenty milliseconds.
    """
    sample = _SERIES.fullmatch(written)
    return sample and (sample[1], sample[1] + _labels(sample[2] or "", engine))


def _belongs(name: str, family: str, families: dict[str, _Family]) -> bool:
    """Whether a sample is part of the family whose head stands above it."""
    if family not in families:
        return False
    parts = _PARTS.get(families[family].kind, ())
    return name == family or name in (family + part for part in parts)


def _labels(written: str, engine: str | None) -> str:
    """Labels as they are written out, in braces; none at all give nothing."""
    if engine is None:
        return f"{{{written}}}" if written else ""
    kept = [(name, value) for name, value in _LABEL.findall(written) if name != _HIDDEN]
    names = {name for name, _ in kept}
    shown = [f'{ENGINE_LABEL}="{_escaped(engine)}"']
    shown += [f'{_unlike(names) if name == ENGINE_LABEL else name}="{v}"' for name, v in kept]
    return f"{{{','.join(shown)}}}"


def _unlike(names: Iterable[str]) -> str:
    """Another name for an engine's own label `engine`, which it has not used yet."""
    name, taken = f"exported_{ENGINE_LABEL}", set(names)
    while name in taken:
        name = f"exported_{name}"
    return name


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
