"""The state of the teacher's calls, for `/metrics`."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Gauge

from judge.teacher.verdict import Teacher

_CIRCUIT = {"closed": 0.0, "half_open": 0.5, "open": 1.0}


def watch_teacher(teacher: Teacher, registry: CollectorRegistry) -> None:
    """Register gauges that read the teacher's state at every scrape."""
    limit = Gauge(
        "galen_judge_teacher_limit",
        "Teacher calls that may be in flight at once; fewer after a 429 or 503",
        registry=registry,
    )
    limit.set_function(lambda: teacher.state.limit)
    in_flight = Gauge("galen_judge_teacher_in_flight", "Teacher calls under way", registry=registry)
    in_flight.set_function(lambda: teacher.state.in_flight)
    waiting = Gauge(
        "galen_judge_teacher_waiting", "Judgements that wait for a call", registry=registry
    )
    waiting.set_function(lambda: teacher.state.waiting)
    circuit = Gauge(
        "galen_judge_teacher_circuit",
        "Circuit breaker: 0 closed, 1 open (no calls), 0.5 half open (one call probes)",
        registry=registry,
    )
    circuit.set_function(lambda: _CIRCUIT[teacher.state.circuit])
    latched = Gauge(
        "galen_judge_teacher_latched",
        "1: no call is made until the operator acts and restarts the judge",
        registry=registry,
    )
    latched.set_function(lambda: float(teacher.latched is not None))
