"""The record rules and the cell rules beside independent libraries: pycanon and acro, in an environment of their own.

The two pin older versions of what the platform uses, so they are installed once into an ignored folder and called as a
program on generated tables. Without them these tests fail; they never skip.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from sandbox.exports.classes import class_sizes, distances, variety

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / ".oracles"
PINS = ("acro==1.0.2", "pycanon==1.3.6", "numpy==2.0.2", "pandas==2.3.3")

ASK = """
import contextlib, io, json, sys
import pandas as pd
out = {}
with contextlib.redirect_stdout(io.StringIO()):
    from pycanon import anonymity
    data = pd.read_csv(sys.argv[1], dtype=str)
    numbers = data.assign(s=data["s"].str[1:].astype(int))
    qi = ["a", "b"]
    out["k"] = int(anonymity.k_anonymity(data, qi))
    out["l"] = int(anonymity.l_diversity(data, qi, ["s"]))
    out["entropy_l"] = int(anonymity.entropy_l_diversity(data, qi, ["s"]))
    out["t_categories"] = float(anonymity.t_closeness(data, qi, ["s"]))
    out["t_numbers"] = float(anonymity.t_closeness(numbers, qi, ["s"]))
    from acro import ACRO, add_constant
    import logging
    logging.disable(logging.CRITICAL)
    session = ACRO(suppress=False)
    amounts = numbers.assign(v=data["v"].astype(float))
    session.crosstab(amounts["a"], amounts["g"])
    session.crosstab(amounts["a"], amounts["g"], values=amounts["v"], aggfunc="sum")
    for name, record in zip(("count", "sum"), session.results.results.values()):
        out[name] = {mask: table for mask, table in record.outcome.to_dict().items()}
print(json.dumps(out, default=str))
"""


@pytest.fixture(scope="module")
def oracle(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Asks the libraries about a table."""
    program = FOLDER / "bin" / "python"
    mark = FOLDER / "pins"
    if not mark.exists() or mark.read_text() != "\n".join(PINS):
        subprocess.run([sys.executable, "-m", "venv", str(FOLDER)], check=True)
        install = [str(program), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *PINS]
        subprocess.run(install, check=True)
        mark.write_text("\n".join(PINS))
    folder = tmp_path_factory.mktemp("oracle")

    def ask(frame: pl.DataFrame) -> dict[str, Any]:
        path = folder / "t.csv"
        frame.write_csv(path)
        done = subprocess.run([str(program), "-c", ASK, str(path)], capture_output=True, text=True, cwd=folder)
        assert done.returncode == 0, done.stderr
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    return ask


def table(seed: int) -> pl.DataFrame:
    """Rows of four classes with values of unequal frequency, no value missing and no row twice the same person."""
    import random

    rng = random.Random(seed)
    rows = [
        (rng.choice("xy"), rng.choice("pq"), f"v{min(rng.randrange(9), rng.randrange(9))}", rng.choice("mn"),
         float(rng.choice((1, 5, 20, 900 if i < 2 else 30))))
        for i in range(90)
    ]  # fmt: skip
    return pl.DataFrame(rows, schema=["a", "b", "s", "g", "v"], orient="row")


@pytest.mark.parametrize("seed", [1, 2])
def test_classes_diversity_and_closeness_are_those_of_pycanon(oracle: Any, seed: int) -> None:
    frame = table(seed)
    asked = oracle(frame)
    ours = frame.select(pl.col("a").alias("1"), pl.col("b").alias("2"), pl.col("s").alias("3")).lazy()
    numbers = ours.with_columns(pl.col("3").str.slice(1))
    found = variety(ours, ["1", "2"], "3", 2)
    assert class_sizes(ours, ["1", "2"]).collect()["size"].min() == asked["k"]
    assert found["distinct"].min() == asked["l"]
    least = float(found["entropy"].exp().min())  # type: ignore[arg-type]
    assert int(least) == asked["entropy_l"]
    assert distances(ours, ["1", "2"], "3")["distance"].max() == pytest.approx(asked["t_categories"], abs=1e-6)
    assert distances(numbers, ["1", "2"], "3")["distance"].max() == pytest.approx(asked["t_numbers"], abs=1e-6)


@pytest.mark.parametrize("seed", [1, 2])
def test_thresholds_and_dominance_are_those_of_acro(oracle: Any, seed: int) -> None:
    frame = table(seed)
    asked = oracle(frame)
    for (a, g), cell in frame.group_by("a", "g"):
        values = cell["v"].sort(descending=True).to_list()
        said = asked["sum"][g][a]
        total, rest = sum(values), sum(values[2:])
        assert ("threshold" in said) == (len(values) < 10)
        assert ("nk-rule" in said) == (values[0] + values[1] >= 0.9 * total)
        assert ("p-ratio" in said) == (rest < 0.1 * values[0])
