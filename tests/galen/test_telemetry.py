"""Request ids and log lines."""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from galen.telemetry import (
    JsonLines,
    accept_request_id,
    accept_trace,
    outgoing_headers,
    request_id,
    trace_headers,
)


def record(message: str, *args: object, **extra: object) -> logging.LogRecord:
    return logging.getLogger("t").makeRecord(
        "t", logging.WARNING, "file.py", 1, message, args, None, extra=extra
    )


@pytest.mark.parametrize("given_id", ["a", "run-7.step_3", "A" * 64])
def test_a_harmless_request_id_is_kept(given_id: str) -> None:
    """A caller may name its request, so that both sides' logs can be joined."""
    assert accept_request_id(given_id) == given_id


@pytest.mark.parametrize(
    "given_id",
    [None, "", "A" * 65, "a b", "a\n", "a\r\nSet-Cookie: x", "编号", "a\x00", "<b>", 'a"', "１"],
)
def test_a_hostile_request_id_is_replaced(given_id: str | None) -> None:
    """What could forge a header or a log line never gets in; a new id takes its place."""
    accepted = accept_request_id(given_id)
    assert accepted != given_id
    assert (len(accepted), accepted.isalnum(), accepted.isascii()) == (32, True, True)


def test_each_replaced_id_is_new() -> None:
    """Two requests without ids are told apart."""
    assert accept_request_id(None) != accept_request_id(None)


TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.mark.parametrize("state", ["", "vendor=value", "a=1,b=2"])
def test_a_trace_is_passed_on_as_it_came(state: str) -> None:
    """W3C's two headers; the second is left out where it is empty."""
    kept = {"traceparent": TRACEPARENT} | ({"tracestate": state} if state else {})
    assert accept_trace(TRACEPARENT, state) == kept


@pytest.mark.parametrize(
    "parent",
    [
        "",
        TRACEPARENT.upper(),
        TRACEPARENT[:-1],
        TRACEPARENT + "\n",
        TRACEPARENT.replace("00-", "ff-", 1),
        f"00-{'0' * 32}-b7ad6b7169203331-01",
        f"00-0af7651916cd43dd8448eb211c80319c-{'0' * 16}-01",
        TRACEPARENT.replace("a", "\uff11"),
    ],
)
def test_a_trace_that_is_none_is_dropped(parent: str) -> None:
    """And its state with it, as W3C asks."""
    assert accept_trace(parent, "a=1") == {}


def test_a_hostile_trace_state_is_dropped() -> None:
    """The trace itself is kept."""
    for state in ("a=\r\nX: 1", "a" * 513, "状态"):
        assert accept_trace(TRACEPARENT, state) == {"traceparent": TRACEPARENT}


def test_outgoing_calls_bear_the_requests_id_and_trace() -> None:
    """So do the log's lines; outside a request there is nothing to pass on."""
    assert outgoing_headers() == {}
    id_token = request_id.set("run-7")
    trace_token = trace_headers.set({"traceparent": TRACEPARENT})
    try:
        assert outgoing_headers() == {"X-Request-Id": "run-7", "traceparent": TRACEPARENT}
        entry = json.loads(JsonLines("judge").format(record("x")))
    finally:
        request_id.reset(id_token)
        trace_headers.reset(trace_token)
    assert (entry["request_id"], entry["traceparent"]) == ("run-7", TRACEPARENT)


@given(st.text(), st.dictionaries(st.sampled_from(["step", "loss"]), st.integers() | st.text()))
def test_a_log_entry_is_one_line_of_json(message: str, extra: dict[str, int | str]) -> None:
    """Whatever is logged makes one line, which holds the message and each extra field."""
    line = JsonLines("judge").format(record("%s", message, **extra))
    entry = json.loads(line)
    assert "\n" not in line
    assert (entry["event"], entry["service"], entry["level"]) == (message, "judge", "warning")
    assert {name: entry[name] for name in extra} == extra


def test_nothing_of_pythons_own_record_leaks_into_an_entry() -> None:
    """An entry has Galen's fields and the extras, and no more."""
    entry = json.loads(JsonLines("judge").format(record("x", step=1)))
    assert set(entry) == {"time", "level", "service", "request_id", "event", "step"}


def test_what_is_for_a_terminal_is_left_out() -> None:
    """uvicorn says its message a second time, in colours."""
    entry = json.loads(JsonLines("judge").format(record("x", color_message="\x1b[1mx")))
    assert "color_message" not in entry


@pytest.fixture
def in_shanghai(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine whose clock on the wall is eight hours ahead."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Asia/Shanghai")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("in_shanghai")
def test_a_log_entrys_time_is_in_utc() -> None:
    """Lines of machines in several zones can be put in order."""
    made = record("x")
    made.created = 1_800_000_000.9
    assert json.loads(JsonLines("judge").format(made))["time"] == "2027-01-15T08:00:00Z"


def test_a_log_entry_bears_the_requests_id() -> None:
    """Lines logged while a request is served can be found by its id."""
    token = request_id.set("run-7")
    try:
        entry = json.loads(JsonLines("judge").format(record("x")))
    finally:
        request_id.reset(token)
    assert entry["request_id"] == "run-7"


def test_what_json_does_not_know_is_written_as_text() -> None:
    """An odd extra never costs the log line."""
    entry = json.loads(JsonLines("judge").format(record("x", kind=int)))
    assert entry["kind"] == "<class 'int'>"


def test_an_exception_stays_on_its_line() -> None:
    """A traceback is a field of the entry, not lines after it."""
    made = record("failed")
    try:
        raise ValueError("why")
    except ValueError:
        made.exc_info = sys.exc_info()
    line = JsonLines("judge").format(made)
    assert "\n" not in line
    assert json.loads(line)["exception"].endswith("ValueError: why")
