"""Builds the demonstration city on disk."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from synthetic.city import air, enterprises, insurance, permits, residents, schools, transit, visits
from synthetic.city.dirt import MISSING, Soiler
from synthetic.city.schema import CIVIL, Table
from synthetic.city.society import Society
from synthetic.city.truth import CellBook, TableTruth
from synthetic.city.writers import open_writer
from synthetic.providers.gazetteer import CITY, CITY_CODE, DISTRICTS

TABLES: tuple[Table, ...] = (
    residents.TABLE,
    enterprises.TABLE,
    insurance.TABLE,
    visits.TABLE,
    transit.TABLE,
    permits.TABLE,
    schools.TABLE,
    air.TABLE,
)
RELATIONS = (
    ("clinic_visits", "身份证号", "residents", "身份证号"),
    ("social_insurance", "身份证号", "residents", "身份证号"),
    ("social_insurance", "单位统一社会信用代码", "enterprises", "统一社会信用代码"),
    ("permits_penalties", "统一社会信用代码", "enterprises", "统一社会信用代码"),
)
REFERENCE = Path(__file__).parent / "reference" / "areas_guangdong.csv"
REFERENCE_TITLE = "行政区划"


@dataclass(frozen=True, slots=True)
class CityFile:
    """One table of the city on disk; `rows` counts loadable rows, `simulated` is False only for the real reference."""

    key: str
    title: str
    department: str
    paths: tuple[Path, ...]
    rows: int
    simulated: bool


@dataclass(frozen=True, slots=True)
class CityManifest:
    """What `build` wrote. `truth` is the answer key, `cells` the list of wrong cells with their true values."""

    out: Path
    files: tuple[CityFile, ...]
    departments: tuple[str, ...]
    truth: Path
    cells: Path
    seed: int
    scale: float

    def file(self, key: str) -> CityFile:
        """The table of that key; KeyError when it was not built."""
        for entry in self.files:
            if entry.key == key:
                return entry
        raise KeyError(key)


def build(out: Path, *, seed: int, scale: float = 1.0, tables: Sequence[str] | None = None) -> CityManifest:
    """Write 示范市 into `out`: eight simulated tables, one real reference table, `truth.json` and `truth_cells.csv`.

    Same `seed` and `scale` (and library versions) give the same bytes. `scale` multiplies the rows: 1.0 is about
    12,000 residents and 120,000 rows in all. `tables` restricts to some keys of `TABLES`; their bytes do not
    depend on the others. Files of the same name are overwritten. Raises ValueError for a scale that is not
    positive or an unknown key.
    """
    chosen = _chosen(tables)
    if not scale > 0:
        raise ValueError("scale must be positive")
    out.mkdir(parents=True, exist_ok=True)
    city = Society(seed, scale)
    cells = CellBook(out / "truth_cells.csv")
    parts, files = [], []
    for table in chosen:
        truth = _write(table, city, out, cells)
        parts.append(truth)
        paths = tuple(out / name for name in truth["files"])
        files.append(CityFile(table.key, table.title, table.department, paths, truth["rows"], True))
    cells.close()
    reference, entry = _reference(out)
    (out / "truth.json").write_text(_key(city, [*parts, reference]), encoding="utf-8")
    files.append(entry)
    departments = tuple(dict.fromkeys(file.department for file in files))
    return CityManifest(out, tuple(files), departments, out / "truth.json", out / "truth_cells.csv", seed, scale)


def _chosen(keys: Sequence[str] | None) -> list[Table]:
    known = {table.key: table for table in TABLES}
    unknown = set(keys or ()) - set(known)
    if unknown:
        raise ValueError(f"no such table: {sorted(unknown)}; there are {sorted(known)}")
    return [table for key, table in known.items() if keys is None or key in keys]


def _write(table: Table, city: Society, out: Path, cells: CellBook) -> dict[str, Any]:
    truth, writer = TableTruth(table), open_writer(table, out)
    schema = dict.fromkeys(table.names(), pl.String)
    least = {"residents": len(city.people), "enterprises": len(city.firms)}.get(table.key)
    for number, frame in enumerate(table.chunks(city, least or city.rows(table.base_rows))):
        soiler = Soiler(frame, city.rng(table.key, "dirt", number))
        table.soil(soiler)
        block = soiler.finish()
        written = pl.DataFrame({name: block.frame[name].tolist() for name in table.names()}, schema=schema)
        cells.add(table.key, truth.rows, block)
        writer.write(written, block)
        truth.add(written, block)
    writer.close(truth.rows)
    return truth.as_dict(writer.facts)


def _reference(out: Path) -> tuple[dict[str, Any], CityFile]:
    """The one real table: openly licensed area codes (see reference/ORIGIN.md)."""
    target = out / f"{CIVIL}_{REFERENCE_TITLE}.csv"
    shutil.copyfile(REFERENCE, target)
    lines = target.read_bytes().count(b"\n")
    columns = {"code": "县级行政区划代码", "name": "县级行政区名称", "cityCode": "地级代码", "provinceCode": "省级代码"}
    truth = {
        "key": "areas",
        "title": REFERENCE_TITLE,
        "department": CIVIL,
        "grain": "每行一个县级行政区（真实开放数据，WTFPL）",
        "simulated": False,
        "file": target.name,
        "files": [target.name],
        "format": "csv",
        "layout": {"encoding": "utf-8", "delimiter": ",", "newline": "LF", "physical_lines": lines, "header_line": 1},
        "rows": lines - 1,
        "rows_quarantined": 0,
        "quarantined": [],
        "duplicate_rows": 0,
        "entities": {},
        "level": [1, 1],
        "columns": [
            {"name": name, "comment": comment, "dtype": "text", "semantic": "street" if name == "name" else "code",
             "entity": None, "identifier_role": "none", "category": "公共数据", "level": [1, 1], "missing": 0}
            for name, comment in columns.items()
        ],
    }  # fmt: skip
    return truth, CityFile("areas", REFERENCE_TITLE, CIVIL, (target,), lines - 1, False)


def _key(city: Society, tables: list[dict[str, Any]]) -> str:
    present = {table["key"] for table in tables}
    document = {
        "city": CITY,
        "code": CITY_CODE,
        "seed": city.streams.seed,
        "scale": city.scale,
        "as_of": "2025-12-31",
        "note": "仿真数据：除“行政区划”外，人员、企业、地址和编码均为虚构，任何人都不持有。",
        "missing_spellings": ["", *MISSING],
        "relations": [
            {"from": [child, column], "to": [parent, key]}
            for child, column, parent, key in RELATIONS
            if {child, parent} <= present
        ],
        "code_lists": {
            "districts": [{"code": d.code, "name": d.name} for d in DISTRICTS],
            "streets": [{"code": s.code, "name": s.name, "district": d.code} for d in DISTRICTS for s in d.streets],
            "clinics": [
                {"code": c.code, "name": c.name, "district": DISTRICTS[c.district].name, "grade": c.grade}
                for c in city.clinics
            ],
        },
        "tables": tables,
    }
    return json.dumps(document, ensure_ascii=False, indent=1) + "\n"
