"""A planted person is in the real table and nowhere else: in no file, report or manifest, on no screen, in no log."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq
import pytest

from policies.editions import load
from policies.text import UserError
from synthetic.engines.base import engine_named
from synthetic.publishing import write_published
from synthetic.related import simulate_related
from synthetic.report import report, report_data
from synthetic.simulate import simulate
from synthetic.tables import TableInput
from tests.simulation_tables import (
    RARE_JOB,
    RESIDENT_FIELDS,
    RESIDENT_RULES,
    RESIDENTS,
    VISIT_FIELDS,
    VISITS,
    residents,
    visits,
)

ENGINES = ("tree", "sdv", "schema", "auto", "ctgan")
ROWS = 600
NAME, PHONE, NUMBER, EXTREME = "欧阳璟珩", "13987651234", "110101194805170035", 987_654.32
HOME, NOTE = "示范市东湖区忘川路八千号", "本人口述:昨夜梦见渡江,余不多言"
PLANTED = {
    "姓名": NAME, "手机号": PHONE, "身份证号": NUMBER, "住址": HOME, "备注": NOTE, "职业": RARE_JOB, "月收入": EXTREME,
}  # fmt: skip


@pytest.fixture(scope="module")
def real() -> pl.DataFrame:
    """Six hundred people, one of them planted in every column that could give somebody away."""
    table = residents(ROWS)
    columns = {name: table.get_column(name).to_list() for name in PLANTED}
    for name, value in PLANTED.items():
        columns[name][5] = value
    columns["备注"][6] = f"代{NAME}({PHONE})办理,证件{NUMBER}"
    columns["月收入"] = [v if v == EXTREME or v is None or v < 90_000 else 90_000.0 for v in columns["月收入"]]
    return table.with_columns(pl.Series(n, v, dtype=table.schema[n]) for n, v in columns.items())


def needles() -> Iterator[bytes]:
    """Every planted value as bytes of every encoding it could be written in, also escaped and in parts."""
    for word in (NAME, PHONE, NUMBER, NUMBER[6:17], HOME, NOTE, NOTE[5:12], RARE_JOB, "987654.32", "987654", "987,654"):
        for encoding in ("utf-8", "gb18030", "utf-16-le", "utf-16-be"):
            yield word.encode(encoding)
        yield json.dumps(word)[1:-1].encode()
        yield escape(word).encode()


def found_in(data: bytes) -> list[bytes]:
    return [needle for needle in needles() if needle in data]


def decoded(path: Path) -> bytes:
    """What a Parquet file holds once its pages, dictionaries and metadata are decoded."""
    table = pq.read_table(path)
    cells = [str(value) for column in table.columns for value in column.to_pylist()]
    statistics = str(pq.ParquetFile(path).metadata.row_group(0).to_dict())
    metadata = b"".join(k + v for k, v in (table.schema.metadata or {}).items())
    return "\n".join([*cells, statistics]).encode() + metadata


def everything(made: Any, folder: Path) -> dict[str, bytes]:
    """All that anybody gets to see of a simulated table."""
    titles = {rule.id: rule.title for rule in load("simulation").rules}
    files = write_published(made.frame, made.manifest, titles, folder)
    shown = {f"file {kind}": path.read_bytes() for kind, path in files.items()}
    shown["file parquet, decoded"] = decoded(files["parquet"])
    for audience in ("operator", "merchant"):
        shown[f"page of the {audience}"] = report(made.manifest, titles, audience).encode()  # type: ignore[arg-type]
        data = report_data(made.manifest, titles, audience)  # type: ignore[arg-type]
        shown[f"answer to the {audience}"] = json.dumps(data, ensure_ascii=False).encode()
    shown["manifest"] = json.dumps(made.manifest, ensure_ascii=False).encode()
    shown["verdict"] = json.dumps(made.verdict.as_dict(), ensure_ascii=False).encode()
    return shown


def test_the_search_finds_what_is_planted(real: pl.DataFrame, tmp_path: Path) -> None:
    """The real table written the same way is found out by every one of the planted values."""
    real.write_parquet(tmp_path / "real.parquet")
    for data in (decoded(tmp_path / "real.parquet"), real.write_csv().encode(), real.write_csv().encode("gb18030")):
        assert len(found_in(data)) >= len(PLANTED)


@pytest.mark.parametrize("engine", ENGINES)
def test_nothing_of_the_planted_person_is_anywhere(
    real: pl.DataFrame, engine: str, tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    try:
        if engine != "auto":
            engine_named(engine)
    except UserError as missing:
        pytest.skip(f"{engine}: {missing.code}")
    with caplog.at_level(logging.DEBUG):
        made = simulate(
            real, RESIDENT_FIELDS, rows=1_000, seed=11, engine=engine, name=RESIDENTS, constraints=RESIDENT_RULES
        )
        shown = everything(made, tmp_path)
    said = capfd.readouterr()
    shown |= {"output": said.out.encode(), "errors": said.err.encode(), "log": caplog.text.encode()}
    assert {place: found for place, data in shown.items() if (found := found_in(data))} == {}


@pytest.mark.parametrize("engine", ["tree", "hma"])
def test_nothing_of_the_planted_person_is_in_related_tables(
    real: pl.DataFrame, engine: str, tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """The planted person has visits too, dearer than anybody's."""
    went = visits(real, 900)
    mine = pl.Series([NUMBER, NUMBER, *went["身份证号"].to_list()[2:]])
    cost = pl.Series([EXTREME, *[min(v, 50_000.0) for v in went["费用"].to_list()[1:]]])
    named = pl.Series([NAME, NAME, *went["姓名"].to_list()[2:]])
    went = went.with_columns(mine.alias("身份证号"), cost.alias("费用"), named.alias("姓名"))
    tables = {
        RESIDENTS: TableInput(real, RESIDENT_FIELDS, constraints=RESIDENT_RULES),
        VISITS: TableInput(went, VISIT_FIELDS),
    }
    with caplog.at_level(logging.DEBUG):
        made = simulate_related(tables, seed=4, rows=300, engine=engine)
        shown = {
            f"{name}: {place}": data
            for name, one in made.items() for place, data in everything(one, tmp_path / name).items()
        }  # fmt: skip
    said = capfd.readouterr()
    shown |= {"output": said.out.encode(), "errors": said.err.encode(), "log": caplog.text.encode()}
    assert made[RESIDENTS].manifest["engine"]["used"] == engine
    assert {place: found for place, data in shown.items() if (found := found_in(data))} == {}


def test_the_command_shows_nothing_of_the_planted_person(real: pl.DataFrame, tmp_path: Path) -> None:
    """From the file to the files, in a process of its own: what it prints, and every byte it leaves behind."""
    source, out, plan = tmp_path / "登记.csv", tmp_path / "out", tmp_path / "plan.yaml"
    real.write_csv(source, include_bom=True)
    plan.write_text("columns: {职业: {semantic: category}, 备注: {semantic: free_text}}", "utf-8")
    command = [sys.executable, "-m", "api.cli.main", "simulate", str(source), "--rows", "300", "--seed", "3"]
    options = ["--engine", "auto", "--plan", str(plan), "--out", str(out), "--json"]
    ran = subprocess.run([*command, *options], capture_output=True, check=False)
    assert ran.returncode == 0, ran.stderr.decode()
    files = [path for path in out.rglob("*") if path.is_file()]
    shown = {str(path): path.read_bytes() + (decoded(path) if path.suffix == ".parquet" else b"") for path in files}
    shown |= {"output": ran.stdout, "errors": ran.stderr}
    assert len(files) >= 3
    assert {place: found for place, data in shown.items() if (found := found_in(data))} == {}
