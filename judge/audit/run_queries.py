"""Queries of the audit: runs, their judgements, and the ledger's rows for a key."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    and_,
    case,
    exists,
    func,
    or_,
    select,
)

from judge.audit.cursors import Place
from judge.audit_schemas import (
    LedgerRow,
    RejectedRow,
    Rollout,
    RolloutQuery,
    RunCard,
    StepPoint,
    StoredVerdict,
    VerdictFile,
)
from judge.ledger.tables import (
    JudgementRow,
    RejectedReplyRow,
    RunRow,
    SampleRow,
    SpendingRow,
    VerdictRow,
)

_judgements, _runs = JudgementRow.__table__.c, RunRow.__table__
_is_flagged = case((func.json_array_length(_judgements.flags) > 0, 1), else_=0)
_ok_reward = case((_judgements.status == "ok", _judgements.reward))
_is_failed = case((_judgements.status == "failed", 1), else_=0)


def runs_before(connection: Connection, place: Place | None, limit: int) -> list[tuple[str, int]]:
    """Names of runs with the id of their first judgement, newest first. That id never changes, so
    it can be a cursor."""
    query = select(_runs.c.run, _runs.c.first_id).order_by(_runs.c.first_id.desc()).limit(limit)
    if place is not None:
        query = query.where(_runs.c.first_id < place.id)
    return [(run, first_id) for run, first_id in connection.execute(query)]


def run_cards(connection: Connection, runs: Sequence[str]) -> list[RunCard]:
    """The numbers of `runs`, in that order; a run without judgements is left out."""
    spending = SpendingRow.__table__
    joined = _runs.outerjoin(spending, spending.c.scope == "run:" + _runs.c.run)
    query = select(_runs, spending.c.committed_usd).select_from(joined).where(_runs.c.run.in_(runs))
    cards = {row.run: _card(row) for row in connection.execute(query)}
    return [cards[run] for run in runs if run in cards]


def _card(row: Row[Any]) -> RunCard:
    # The rules alone reward on another scale than rules and teacher together.
    on_one_scale = next((s for s in ("ok", "rules_only") if s in row.rewards), "failed")
    return RunCard(
        run=row.run,
        first_at=row.first_at,
        last_at=row.last_at,
        judgements=sum(row.statuses.values()),
        steps=row.steps,
        statuses=row.statuses,
        mean_reward=_share(row.rewards.get(on_one_scale, 0.0), row.statuses.get(on_one_scale, 0))
        if row.rewards
        else None,
        violation_rate=_share(row.flagged, row.read),
        committed_usd=row.committed_usd or 0.0,
        rubrics=tuple(row.rubrics),
        providers=tuple(row.providers),
    )


def series(connection: Connection, run: str) -> list[StepPoint]:
    """A run's steps in order; judgements without a step come last."""
    query = (
        select(
            _judgements.step,
            func.count().label("judgements"),
            func.sum(_is_failed).label("failed"),
            func.sum(_is_flagged).label("flagged"),
            func.coalesce(func.avg(_ok_reward), func.avg(_judgements.reward)).label("mean_reward"),
        )
        .where(_judgements.run == run)
        .group_by(_judgements.step)
        .order_by(_judgements.step.asc().nulls_last())
    )
    return [StepPoint.model_validate(dict(row)) for row in connection.execute(query).mappings()]


def has_run(connection: Connection, run: str) -> bool:
    query = select(_judgements.id).where(_judgements.run == run).limit(1)
    return connection.execute(query).first() is not None


def rollouts_after(
    connection: Connection, run: str, query: RolloutQuery, place: Place | None, limit: int
) -> list[Rollout]:
    """A run's judgements that match `query`, in its order, after `place`."""
    asked = select(_judgements.id).where(_judgements.run == run, *_filters(connection, query))
    if place is not None:
        asked = asked.where(_after(query.sort, place))
    ids = connection.execute(asked.order_by(*_order(query.sort)).limit(limit)).scalars().all()
    by_id = {row.id: row for row in connection.execute(_whole(ids))}
    return [_rollout(by_id[this_id]) for this_id in ids]


def _filters(connection: Connection, query: RolloutQuery) -> list[ColumnElement[bool]]:
    filters: list[ColumnElement[bool]] = []
    if query.status is not None:
        filters.append(_judgements.status == query.status)
    if query.step is not None:
        filters.append(_judgements.step == query.step)
    if query.flag is not None:
        filters.append(_holds(connection, _judgements.flags, query.flag))
    if query.rule is not None:
        filters.append(_holds(connection, _judgements.hits, query.rule, field="rule"))
    return filters


def _holds(
    connection: Connection, array: ColumnElement[Any], text: str, field: str | None = None
) -> ColumnElement[bool]:
    """Whether `text` is an entry of a JSON array, or the value of `field` in one of its entries."""
    entry: ColumnElement[Any]
    if connection.dialect.name == "postgresql":
        unnest = func.json_array_elements if field else func.json_array_elements_text
        entries = unnest(array).table_valued("value").render_derived()
        entry = entries.c.value.op("->>")(field) if field else entries.c.value
    else:
        entries = func.json_each(array).table_valued("value")
        entry = func.json_extract(entries.c.value, f"$.{field}") if field else entries.c.value
    return exists(select(1).select_from(entries).where(entry == text))


def _order(sort: str) -> list[ColumnElement[Any]]:
    ids = _judgements.id.desc() if sort.startswith("-") else _judgements.id.asc()
    if sort.endswith("time"):
        return [ids]
    rewards = _judgements.reward.desc() if sort.startswith("-") else _judgements.reward.asc()
    return [rewards.nulls_last(), ids]


def _after(sort: str, place: Place) -> ColumnElement[bool]:
    """The rows after `place`; judgements without a reward come last."""
    down = sort.startswith("-")
    ids = _judgements.id < place.id if down else _judgements.id > place.id
    if sort.endswith("time"):
        return ids
    reward = _judgements.reward
    if place.value is None:
        return and_(reward.is_(None), ids)
    beyond = reward < place.value if down else reward > place.value
    return or_(beyond, and_(reward == place.value, ids), reward.is_(None))


def _whole(ids: Sequence[int]) -> Select[Any]:
    """Judgements with their texts and, for `ok` ones, the teacher's verdict."""
    verdicts, samples = VerdictRow.__table__, SampleRow.__table__
    is_used = and_(verdicts.c.key == _judgements.verdict_key, _judgements.status == "ok")
    joined = JudgementRow.__table__.outerjoin(verdicts, is_used).outerjoin(
        samples, samples.c.sha256 == _judgements.sample_sha256
    )
    of_teacher = ("scores", "why", "evidence", "model_answered")
    return (
        select(
            *JudgementRow.__table__.c,
            *(verdicts.c[name] for name in of_teacher),
            samples.c.prompt,
            samples.c.response,
            samples.c.reference,
            samples.c.earlier,
            samples.c.criteria.label("criteria_texts"),
        )
        .select_from(joined)
        .where(_judgements.id.in_(ids))
    )


def _rollout(row: Row[Any]) -> Rollout:
    teacher = None
    if row.scores is not None:
        teacher = StoredVerdict(
            scores=row.scores, why=row.why, evidence=row.evidence, model=row.model_answered
        )
    same = set(Rollout.model_fields) - {"at", "teacher", "earlier", "criteria", "forgotten"}
    fields = {name: value for name, value in row._mapping.items() if name in same}
    own = {
        "at": row.created_at,
        "teacher": teacher,
        "criteria": _criteria(row),
        "earlier": [{"role": role, "content": text} for role, text in row.earlier or ()],
        "forgotten": row.sample_sha256 is not None and row.prompt is None,
    }
    return Rollout.model_validate({**fields, **own})


def _criteria(row: Row[Any]) -> list[dict[str, Any]]:
    verdicts = row.criteria or []
    texts = row.criteria_texts or [None] * len(verdicts)
    return [{"text": text, **one} for text, one in zip(texts, verdicts, strict=True)]


def verdict_file(connection: Connection, key: str) -> VerdictFile:
    """The ledger's rows for `key`; there may be none."""
    verdicts, rejected = VerdictRow.__table__, RejectedReplyRow.__table__
    row = connection.execute(select(verdicts).where(verdicts.c.key == key)).mappings().first()
    replies = select(rejected).where(rejected.c.key == key).order_by(rejected.c.id)
    return VerdictFile(
        key=key,
        verdict=LedgerRow.model_validate(_fields(row, LedgerRow)) if row else None,
        rejected=tuple(
            RejectedRow.model_validate(_fields(reply, RejectedRow))
            for reply in connection.execute(replies).mappings()
        ),
    )


def _fields(row: Any, model: type[LedgerRow | RejectedRow]) -> dict[str, Any]:
    return {name: row[name] for name in model.model_fields}


def _share(part: float, whole: int) -> float | None:
    return part / whole if whole else None
