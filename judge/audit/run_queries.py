"""Queries of the audit: runs, their judgements, and the ledger's rows for a key."""

from __future__ import annotations

from collections import defaultdict
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
from judge.ledger.tables import (
    JudgementRow,
    RejectedReplyRow,
    SampleRow,
    SpendingRow,
    VerdictRow,
)
from judge.schemas import (
    LedgerRow,
    RejectedRow,
    Rollout,
    RolloutQuery,
    RunCard,
    StepPoint,
    StoredVerdict,
    VerdictFile,
)

_judgements = JudgementRow.__table__.c
_is_flagged = case((func.json_array_length(_judgements.flags) > 0, 1), else_=0)
_ok_reward = case((_judgements.status == "ok", _judgements.reward))
_is_read = case((_judgements.rules_total.is_not(None), 1), else_=0)
_is_failed = case((_judgements.status == "failed", 1), else_=0)


def runs_before(connection: Connection, place: Place | None, limit: int) -> list[tuple[str, int]]:
    """Names of runs with the id of their first judgement, newest first. That id never changes, so
    it can be a cursor."""
    first = func.min(_judgements.id)
    query = select(_judgements.run, first).group_by(_judgements.run).order_by(first.desc())
    if place is not None:
        query = query.having(first < place.id)
    return [(run, began) for run, began in connection.execute(query.limit(limit))]


def run_cards(connection: Connection, runs: Sequence[str]) -> list[RunCard]:
    """The numbers of `runs`, in that order; a run without judgements is left out."""
    groups: defaultdict[str, list[Row[Any]]] = defaultdict(list)
    for group in connection.execute(_groups_of(runs)):
        groups[group.run].append(group)
    steps = func.count(_judgements.step.distinct())
    counted = select(_judgements.run, steps).where(_judgements.run.in_(runs))
    steps_of = _pairs(connection, counted.group_by(_judgements.run))
    spending = SpendingRow.__table__.c
    scopes = [f"run:{run}" for run in runs]
    spent = select(spending.scope, spending.committed_usd).where(spending.scope.in_(scopes))
    spent_of = _pairs(connection, spent)
    return [
        _card(run, groups[run], steps_of[run], spent_of.get(f"run:{run}", 0.0))
        for run in runs
        if run in groups
    ]


def _groups_of(runs: Sequence[str]) -> Select[Any]:
    by = (_judgements.run, _judgements.status, _judgements.provider, _judgements.rubric)
    return (
        select(
            *by,
            func.count().label("judgements"),
            func.count(_judgements.reward).label("rewarded"),
            func.sum(_judgements.reward).label("reward"),
            func.sum(_is_read).label("read"),
            func.sum(_is_flagged).label("flagged"),
            func.min(_judgements.created_at).label("first_at"),
            func.max(_judgements.created_at).label("last_at"),
        )
        .where(_judgements.run.in_(runs))
        .group_by(*by)
    )


def _card(run: str, groups: Sequence[Row[Any]], steps: int, committed_usd: float) -> RunCard:
    statuses: defaultdict[str, int] = defaultdict(int)
    for group in groups:
        statuses[group.status] += group.judgements
    # The rules alone reward on another scale than rules and teacher together.
    on_one_scale = [group for group in groups if group.status == "ok"] or groups
    return RunCard.model_validate(
        {
            "run": run,
            "first_at": min(group.first_at for group in groups),
            "last_at": max(group.last_at for group in groups),
            "judgements": sum(group.judgements for group in groups),
            "steps": steps,
            "statuses": statuses,
            "mean_reward": _share(
                sum(group.reward or 0.0 for group in on_one_scale),
                sum(group.rewarded for group in on_one_scale),
            ),
            "violation_rate": _share(
                sum(group.flagged for group in groups), sum(group.read for group in groups)
            ),
            "committed_usd": committed_usd,
            "rubrics": sorted({group.rubric for group in groups}),
            "providers": sorted({group.provider for group in groups}),
        }
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
    same = set(Rollout.model_fields) - {"at", "teacher"}
    fields = {name: value for name, value in row._mapping.items() if name in same}
    return Rollout.model_validate({**fields, "at": row.created_at, "teacher": teacher})


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


def _pairs(connection: Connection, query: Select[Any]) -> dict[str, Any]:
    """The rows of a query with two columns, as key and value."""
    return {row[0]: row[1] for row in connection.execute(query)}


def _share(part: float, whole: int) -> float | None:
    return part / whole if whole else None
