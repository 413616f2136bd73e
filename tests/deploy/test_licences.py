"""Laws of deploy/licences.py."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from importlib.metadata import Distribution, distribution
from pathlib import Path
from types import ModuleType

import pytest

FILE = Path(__file__).parents[2] / "deploy" / "licences.py"


@pytest.fixture(scope="module")
def licences() -> ModuleType:
    spec = importlib.util.spec_from_file_location("licences", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["licences"] = module  # its dataclass looks itself up
    spec.loader.exec_module(module)
    return module


def package(folder: Path, *headers: str, licence: str | None = None) -> Distribution:
    """A package with this metadata, as pip leaves it."""
    info = folder / "thing-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("\n".join(["Name: thing", "Version: 1.0", *headers]) + "\n\n")
    if licence:
        (info / "LICENSE.txt").write_text(licence)
        (info / "RECORD").write_text("thing-1.0.dist-info/LICENSE.txt,,\n")
    return Distribution.at(info)


@pytest.mark.parametrize(
    ("headers", "text", "stated", "is_permissive"),
    [
        (["License-Expression: MIT", "License: long"], None, "MIT", True),
        (["Classifier: License :: OSI Approved :: BSD License"], None, "BSD License", True),
        (["License: Apache 2.0"], None, "Apache 2.0", True),
        ([], "BSD Zero\n\nCopyright", "BSD Zero", True),
        (
            [],
            "\nPermission is hereby granted, free of charge, to",
            "MIT, by its licence file",
            True,
        ),
        ([], None, "not stated", False),
        (["License-Expression: LGPL-3.0-only"], None, "LGPL-3.0-only", False),
        (["License-Expression: MPL-2.0 AND MIT"], None, "MPL-2.0 AND MIT", False),
        (
            ["License: Intel End User License Agreement"],
            None,
            "Intel End User License Agreement",
            0,
        ),
    ],
)
def test_the_licence_is_what_the_package_states(
    licences: ModuleType,
    tmp_path: Path,
    headers: list[str],
    text: str | None,
    stated: str,
    is_permissive: bool,
) -> None:
    """The expression first, then classifiers, the old field, the file."""
    (found,) = licences.licences([package(tmp_path, *headers, licence=text)])
    assert (found.licence, found.is_permissive) == (stated, is_permissive)


def test_everything_that_is_installed_is_listed() -> None:
    """One line each, with its version."""
    shown = subprocess.run(
        [sys.executable, FILE], capture_output=True, text=True, check=True
    ).stdout
    for name in ("pydantic", "torch", "pytest"):
        (line,) = [line for line in shown.splitlines() if line[2:].split()[0] == name]
        assert distribution(name).version in line


def test_the_project_states_its_own(root: Path) -> None:
    """MIT, as the file says."""
    assert 'license = "MIT"' in (root / "pyproject.toml").read_text("utf-8")
    assert (root / "LICENSE").read_text("utf-8").startswith("MIT License")
