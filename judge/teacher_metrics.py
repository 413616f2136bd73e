"""How a teacher's calls stand, as `/metrics` tells it."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Gauge

from judge.verdict import Teacher

_CIRCUIT = {"closed": 0.0, "half_open": 0.5, "open": 1.0}


def watch_teacher(teacher: Teacher, registry: CollectorRegistry) -> None:
    """Gauges that read the teacher whenever somebody looks."""
    limit = Gauge(
        "galen_judge_teacher_limit",
        "Teacher calls that may be under way at once; fewer after a 429 or 503",
        registry=registry,
    )
    limit.set_function(lambda: teacher.state.limit)
    in_flight = Gauge("galen_judge_teacher_in_flight", "Teacher calls under way", registry=registry)
    in_flight.set_function(lambda: teacher.state.in_flight)
    waiting = Gauge(
        "galen_judge_teacher_waiting", "Judgements that wait for their turn", registry=registry
    )
    waiting.set_function(lambda: teacher.state.waiting)
    circuit = Gauge(
        "galen_judge_teacher_circuit",
        "0: calls are made; 1: the teacher is left alone; 0.5: one call tries",
        registry=registry,
    )
    circuit.set_function(lambda: _CIRCUIT[teacher.state.circuit])
    latched = Gauge(
        "galen_judge_teacher_latched",
        "1: no call is made until the operator acts and restarts the judge",
        registry=registry,
    )
    latched.set_function(lambda: float(teacher.latched is not None))
