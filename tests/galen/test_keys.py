"""Who may do what."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from galen.errors import Forbidden, InvalidInput, Unauthorized
from galen.keys import (
    ANYBODY,
    KEYS_VARIABLE,
    Caller,
    KeyRing,
    Role,
    is_loopback,
    refuse_open_bind,
    require,
)

SECRET = "s3cret-of-anna"
RING = KeyRing.parse([f"anna:user:{SECRET}", "boss:admin:s3cret-of-boss"])


def test_a_key_names_its_caller() -> None:
    """Each secret stands for one name and role; blank lines and comments are no keys."""
    ring = KeyRing.parse(["# keys", "", f"  anna:user:{SECRET} ", "run:rollout:s3cret-of-run"])
    assert ring.identify(f"Bearer {SECRET}") == Caller("anna", "user")
    assert ring.identify("bearer s3cret-of-run") == Caller("run", "rollout")


@pytest.mark.parametrize(
    "header",
    [None, "", "Bearer", "Bearer ", SECRET, f"Basic {SECRET}", f"Bearer {SECRET}x", "Bearer 密钥"],
)
def test_whoever_has_no_valid_key_is_refused(header: str | None) -> None:
    """Nothing but a whole known secret, sent as a bearer key, opens a service that has keys."""
    with pytest.raises(Unauthorized):
        RING.identify(header)


def test_a_key_may_come_as_anthropics_clients_send_it() -> None:
    """`x-api-key` is a key of its own; beside an `Authorization` it counts for nothing."""
    assert RING.identify(None, SECRET) == Caller("anna", "user")
    assert RING.identify(f"Bearer {SECRET}", "wrong") == Caller("anna", "user")
    for authorization, api_key in ((None, f"{SECRET}x"), (None, ""), ("Bearer wrong", SECRET)):
        with pytest.raises(Unauthorized):
            RING.identify(authorization, api_key)


@given(st.text(max_size=30))
def test_no_made_up_header_gets_in(header: str) -> None:
    """Any header that does not hold a secret is refused, and not repeated."""
    with pytest.raises(Unauthorized) as caught:
        RING.identify(f"Bearer {header}#")
    assert caught.value.message == "no valid key; send the header 'Authorization: Bearer <key>'"


def test_a_service_without_keys_takes_everybody() -> None:
    """An empty ring knows only the owner of the machine, whatever header comes."""
    assert (KeyRing({}).identify(None), KeyRing({}).identify("Bearer x")) == (ANYBODY, ANYBODY)


@pytest.mark.parametrize(
    "line",
    [
        "anna:s3cret-of-anna",
        "anna:root:s3cret-of-anna",
        "anna:user:s3cret-of-anna:x",
        "anna:user:s3cret",
        "s3cret-of-anna",
        "anna:User:s3cret-of-anna",
        ":user:s3cret-of-anna",
        "anna:user:s3cret-of-anna:10:2:",
        "anna:user:s3cret-of-anna:0",
        "anna:user:s3cret-of-anna:-1",
        "anna:user:s3cret-of-anna:1.5",
        "anna:user:s3cret-of-anna: 10",
        "anna:user:s3cret-of-anna:١٠",
        "anna:user:s3cret-of-anna:10:many",
        "anna:user:s3cret-of:anna-s3cret:1",
    ],
)
def test_a_bad_key_line_is_named_by_number_only(line: str) -> None:
    """The message says which line is wrong and how to write it, and shows no part of a secret."""
    with pytest.raises(InvalidInput) as caught:
        KeyRing.parse(["# first", line])
    assert caught.value.message.startswith("key 2: write name:role:secret")
    assert "s3cret" not in caught.value.message


@pytest.mark.parametrize(
    "line",
    [
        "anna:user:密钥是一串不短的字",
        "anna:user:s3cret-of-ánna",
        "anna:user:s3cret-\x7f-anna",
        "anna:user:s3cret\u00a0of-anna",
        "anna:user: s3cret-of-anna:60",
        "安娜:user:s3cret-of-anna",
        "an\tna:user:s3cret-of-anna",
    ],
)
def test_a_key_that_no_client_can_send_is_refused(line: str) -> None:
    """Headers hold printable ASCII; any other key would start, and never match."""
    with pytest.raises(
        InvalidInput, match=r"key 2: its name or secret .* printable ASCII"
    ) as caught:
        KeyRing.parse(["# first", line])
    assert "s3cret" not in caught.value.message


@pytest.mark.parametrize(
    ("limits", "per_minute", "at_once"),
    [
        ("", None, None),
        (":", None, None),
        ("::", None, None),
        (":60", 60, None),
        (":60:", 60, None),
        ("::4", None, 4),
        (":60:4", 60, 4),
    ],
)
def test_a_key_may_have_limits(limits: str, per_minute: int | None, at_once: int | None) -> None:
    """After the secret come requests a minute and requests at once; empty or left out is none."""
    ring = KeyRing.parse([f"anna:user:{SECRET}{limits}"])
    caller = ring.identify(f"Bearer {SECRET}")
    assert (caller.per_minute, caller.at_once) == (per_minute, at_once)


@pytest.mark.parametrize(
    ("line", "what"),
    [
        (f"ben:user:{SECRET}", "its secret is that of key 2"),
        (f"anna:admin:{SECRET}", "its secret is that of key 2"),
        ("anna:user:s3cret-of-another", "its name is that of key 2"),
    ],
)
def test_no_two_keys_share_a_name_or_a_secret(line: str, what: str) -> None:
    """Limits and logs go by name and callers by secret, so each key has its own of both."""
    with pytest.raises(InvalidInput) as caught:
        KeyRing.parse(["# first", f"anna:user:{SECRET}", line])
    assert caught.value.message.startswith(f"key 3: {what}")
    assert "s3cret" not in caught.value.message


@pytest.mark.parametrize(
    ("role", "allowed", "passes"),
    [
        ("user", "user", True),
        ("rollout", "rollout", True),
        ("admin", "user", True),
        ("admin", "rollout", True),
        ("user", "rollout", False),
        ("rollout", "user", False),
        ("user", "admin", False),
        ("rollout", "admin", False),
    ],
)
def test_a_role_may_do_its_own_work_and_an_admin_all(
    role: Role, allowed: Role, passes: bool
) -> None:
    """Being let in needs one of the roles asked for, or admin."""
    try:
        require(Caller("anna", role), allowed)
    except Forbidden as error:
        assert not passes
        assert error.message == f"the key 'anna' has the role {role!r}, which may not do this"
    else:
        assert passes


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_without_keys_loopback_is_fine(host: str) -> None:
    """A service that only this machine reaches needs no keys."""
    refuse_open_bind(host, KeyRing({}))
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "192.168.1.5", "example.org", "localhost.x"])
def test_without_keys_the_network_is_refused(host: str) -> None:
    """Listening where others reach needs keys; with them it is allowed."""
    with pytest.raises(InvalidInput) as caught:
        refuse_open_bind(host, KeyRing({}))
    assert caught.value.param == "host"
    refuse_open_bind(host, RING)


def test_a_key_file_beats_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys come from the file if one is given, else from the variable, else there are none."""
    monkeypatch.setenv(KEYS_VARIABLE, "env:user:s3cret-env-1,run:rollout:s3cret-env-2")
    file = tmp_path / "keys"
    file.write_text("anna:user:s3cret-file\n")
    assert KeyRing.load(None).identify("Bearer s3cret-env-2") == Caller("run", "rollout")
    assert KeyRing.load(file).identify("Bearer s3cret-file") == Caller("anna", "user")
    with pytest.raises(Unauthorized):
        KeyRing.load(file).identify("Bearer s3cret-env-1")
    monkeypatch.delenv(KEYS_VARIABLE)
    assert not KeyRing.load(None)


@pytest.mark.parametrize("text", ["", "\n", "# anna:user:s3cret-of-anna\n"])
def test_a_key_file_without_a_key_is_refused(tmp_path: Path, text: str) -> None:
    """Whoever names a file wants keys, and must not get a service that is open instead."""
    (tmp_path / "keys").write_text(text)
    with pytest.raises(InvalidInput, match="holds no key") as caught:
        KeyRing.load(tmp_path / "keys")
    assert caught.value.param == "keys_file"


def test_a_bad_line_of_a_file_is_named_with_the_file(tmp_path: Path) -> None:
    """The message says where to look, and shows no part of a secret."""
    (tmp_path / "keys").write_text("anna:user:s3cret-of-anna\nben:s3cret-of-ben\n")
    with pytest.raises(InvalidInput) as caught:
        KeyRing.load(tmp_path / "keys")
    assert caught.value.message.startswith(f"keys_file: {tmp_path / 'keys'}: key 2: write name:")
    assert "s3cret" not in caught.value.message


def test_a_comment_may_stand_behind_a_key(tmp_path: Path) -> None:
    """As the documentation writes it, commas included; a `#` within a secret belongs to it."""
    (tmp_path / "keys").write_text(
        "# who may ask, and how much\n"
        "anna:user:s3cret-of-anna:60:4        # 60 requests a minute, 4 under way at once\n"
        "run:rollout:s3cret#of-run\t# no limits of its own\n"
    )
    ring = KeyRing.load(tmp_path / "keys")
    assert ring.identify("Bearer s3cret-of-anna") == Caller("anna", "user", 60, 4)
    assert ring.identify("Bearer s3cret#of-run") == Caller("run", "rollout")


@dataclass
class KeysFile:
    """A keys' file, the ring that serves from it, and the clock by which it looks."""

    path: Path
    ring: KeyRing
    clock: list[float]

    def write(self, text: str) -> None:
        """As an editor does, and a second passes."""
        draft = self.path.with_suffix(".new")
        draft.write_text(text)
        draft.replace(self.path)
        self.clock[0] += 1.0

    def knows(self, secret: str) -> Caller | None:
        try:
            return self.ring.identify(f"Bearer {secret}")
        except Unauthorized:
            return None


@pytest.fixture
def keys_file(tmp_path: Path) -> KeysFile:
    path, clock = tmp_path / "keys", [0.0]
    path.write_text("\ufeffanna:user:s3cret-of-anna\n", encoding="utf-8")
    return KeysFile(path, KeyRing.load(path, clock=lambda: clock[0]), clock)


def test_a_changed_file_is_read_again(keys_file: KeysFile) -> None:
    """A key that was added works, one that was removed does not, and changed limits apply."""
    assert keys_file.knows("s3cret-of-anna") == Caller("anna", "user")
    keys_file.write("anna:user:s3cret-of-anna:60:2\nben:rollout:s3cret-of-ben")
    assert keys_file.knows("s3cret-of-ben") == Caller("ben", "rollout")
    assert keys_file.knows("s3cret-of-anna") == Caller("anna", "user", 60, 2)
    keys_file.write("ben:rollout:s3cret-of-ben")
    assert keys_file.knows("s3cret-of-anna") is None


@pytest.mark.parametrize("broken", ["", "anna:user", "anna:user:s3cret-of-ánna", None])
def test_a_broken_file_keeps_the_old_keys(
    keys_file: KeysFile, caplog: pytest.LogCaptureFixture, broken: str | None
) -> None:
    """Also one that is gone: the service stays closed, one line a change says what is wrong and
    shows no secret, and the mended file counts."""
    if broken is None:
        keys_file.path.unlink()
        keys_file.clock[0] += 1.0
    else:
        keys_file.write(broken)
    for _ in range(5):
        assert keys_file.knows("s3cret-of-anna") == Caller("anna", "user")
        assert keys_file.knows("x") is None
        assert keys_file.ring
        keys_file.clock[0] += 1.0
    (line,) = (r for r in caplog.records if r.levelname == "ERROR")
    assert f"the old keys stay: keys_file: {keys_file.path}" in line.getMessage()
    assert "s3cret" not in line.getMessage()
    keys_file.write("ben:rollout:s3cret-of-ben")
    assert keys_file.knows("s3cret-of-ben") == Caller("ben", "rollout")


def test_the_file_is_looked_at_once_a_second(keys_file: KeysFile) -> None:
    """However many requests come, so that no request pays for it."""
    assert keys_file.knows("s3cret-of-anna")
    keys_file.write("ben:rollout:s3cret-of-ben")
    keys_file.clock[0] -= 0.5
    assert keys_file.knows("s3cret-of-anna")
    keys_file.clock[0] += 0.5
    assert not keys_file.knows("s3cret-of-anna")
