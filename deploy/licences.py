"""List the licences of what is installed: name, version, licence, as each package states it.

    .venv/bin/python deploy/licences.py

A star marks what no permissive licence covers, or what states none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import Distribution, distributions

NONE = "not stated"
LONGEST = 60
MIT_WORDS = "Permission is hereby granted, free of charge"
PERMISSIVE = re.compile(
    r"\b(MIT|BSD|Apache|ISC|Python Software Foundation|PSF|Unlicense|Zlib|HPND|CNRI|0BSD|CC0)",
    re.IGNORECASE,
)
RESTRICTED = re.compile(r"GPL|MPL|Mozilla|Proprietary|EULA|End User", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Licence:
    name: str
    version: str
    licence: str

    @property
    def is_permissive(self) -> bool:
        return bool(PERMISSIVE.search(self.licence)) and not RESTRICTED.search(self.licence)


def licences(installed: Iterable[Distribution]) -> list[Licence]:
    """One of each name, in the order of the names."""
    found = {
        d.metadata["Name"]: Licence(d.metadata["Name"], d.version, stated(d)) for d in installed
    }
    return sorted(found.values(), key=lambda each: each.name.lower())


def stated(package: Distribution) -> str:
    """The licence that a package's metadata states, else the first line of its licence file."""
    metadata = package.metadata
    if expression := metadata.get("License-Expression"):
        return str(expression)
    classifiers = [str(each) for each in metadata.get_all("Classifier") or []]
    names = [each.rpartition("::")[2].strip() for each in classifiers if "License ::" in each]
    if names := [name for name in names if name != "OSI Approved"]:
        return ", ".join(names)
    if words := (metadata.get("License") or "").split():
        return " ".join(words)[:LONGEST]
    files = [file for file in package.files or () if file.name.upper().startswith("LICEN")]
    for file in files:
        text = str(file.read_text() or "").strip()
        if MIT_WORDS in text:
            return "MIT, by its licence file"
        if text:
            return text.split("\n")[0][:LONGEST]
    return NONE


def table(found: Iterable[Licence]) -> Iterator[str]:
    rows = list(found)
    widths = [max(len(row.name) for row in rows), max(len(row.version) for row in rows)]
    for row in rows:
        star = " " if row.is_permissive else "*"
        yield f"{star} {row.name:<{widths[0]}}  {row.version:<{widths[1]}}  {row.licence}"


if __name__ == "__main__":
    print("\n".join(table(licences(distributions()))))
