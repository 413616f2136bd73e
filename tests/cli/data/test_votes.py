"""`galen data votes`, `pairs` and `sample`: what a person sees and gets."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cli.data import app
from cli.data.votes import all_votes
from judge.audit_schemas import Vote
from judge.client import JudgeClient
from judge.settings import JudgeSettings
from tests.fakes.served_judge import served


def galen(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(each) for each in arguments], catch_exceptions=False)


def rows_of(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


async def cast(url: str, votes: int) -> None:
    async with JudgeClient(url) as client:
        for number in range(votes):
            await client.vote(
                Vote(
                    prompt=f"q{number}",
                    response_a="x",
                    response_b="y",
                    model_a="A",
                    model_b="B",
                    vote="tie" if number == 0 else "a",
                )
            )


async def read(url: str, a_page: int) -> list[str]:
    async with JudgeClient(url) as client:
        return [each.prompt for each in await all_votes(client, a_page)]


def test_votes_come_from_the_judge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As pairs or as single answers; what became none is counted with its reason."""
    monkeypatch.delenv("DEEPSEEK_API_KEY", raising=False)
    settings = JudgeSettings(database_url=f"sqlite:///{tmp_path / 'judge.sqlite3'}", readers=0)
    with served(settings) as url:
        asyncio.run(cast(url, 4))
        done = galen("votes", tmp_path / "pairs.jsonl", "--judge", url)
        galen("votes", tmp_path / "single.jsonl", "--judge", url, "--unpaired")
        by_pages = asyncio.run(read(url, a_page=3))
    assert by_pages == ["q0", "q1", "q2", "q3"]
    assert "4 votes: 3 rows written" in done.stdout
    assert "left out, as many votes for either: 1" in done.stdout
    assert [row["votes"] for row in rows_of(tmp_path / "pairs.jsonl")] == [[1, 0]] * 3
    assert [row["label"] for row in rows_of(tmp_path / "single.jsonl")] == [True, False] * 3


def test_pairs_come_from_a_runs_completions(tmp_path: Path) -> None:
    """The best and the worst, with their rewards."""
    lines = [{"prompt": "q", "completion": str(r), "reward": r} for r in (0.1, 0.9, 0.4)]
    source, out = tmp_path / "batch.jsonl", tmp_path / "pairs.jsonl"
    source.write_text("".join(json.dumps(each) + "\n" for each in lines), "utf-8")
    assert "1 rows written" in galen("pairs", source, out).stdout
    assert [row["rewards"] for row in rows_of(out)] == [[0.9, 0.1]]
    done = galen("pairs", source, out, "--least", "0.9")
    assert "left out, prompts whose completions are as good as each other: 1" in done.stdout


def test_a_sample_is_shown_as_a_table(tmp_path: Path) -> None:
    """How many of each type there were and were taken."""
    source, out = tmp_path / "in.txt", tmp_path / "out.jsonl"
    source.write_text("什么是股票？\n什么是债券？\n求3万元的5%是多少？\n", "utf-8")
    done = galen("sample", source, out, "--rows", "2", "--even")
    said = [line.split() for line in done.stdout.splitlines()]
    assert said[:3] == [
        ["type", "found", "taken"],
        ["calculation", "1", "1"],
        ["concept", "2", "1"],
    ]
    assert len(rows_of(out)) == 2


@pytest.mark.parametrize("command", ["sample", "pairs"])
def test_an_input_is_never_written_over(tmp_path: Path, command: str) -> None:
    """Status 2: the files cannot be used."""
    path = tmp_path / "in.jsonl"
    path.write_text('{"question": "q"}\n', "utf-8")
    done = galen(command, path, path)
    assert (done.exit_code, "written over itself" in done.stderr) == (2, True)
    assert path.read_text("utf-8") == '{"question": "q"}\n'
