"""The same refresh of one table on threads and on a Dask cluster of two one-thread worker processes, turn by turn.

`PDS_BENCH_ROWS` sets the table's rows (60,000 of eight columns). A Prefect server of its own is started on a free port
with an empty temporary home; each refresh is the whole job: land, quality, detection column by column, grade, record.
On one machine both share the processors; what counts there is that the answer is the same.
"""

from __future__ import annotations

import io
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.figures import Figure
from policies.text import Text

ROUNDS = 2
_SURNAMES, _GIVEN = "赵钱孙李周吴郑王冯陈", "伟芳娜敏静丽强磊军洋"


def run() -> list[Figure]:
    """Seconds of a refresh on the cluster against threads, and whether both gave the same grades and evidence."""
    rows = int(os.environ.get("PDS_BENCH_ROWS", "60000"))
    with tempfile.TemporaryDirectory(prefix="pds-bench-") as home, _prefect(Path(home)), _cluster() as address:
        _refresh(Path(home) / "warm", 2_000, 0, address)
        times: dict[str, list[float]] = {"threads": [], "dask": []}
        answers: list[Any] = []
        for turn in range(ROUNDS):
            for name, where in (("threads", None), ("dask", address)):
                took, answer = _refresh(Path(home) / f"{name}-{turn}", rows, turn, where)
                times[name].append(took)
                answers.append((turn, answer))
    same = all(a == b for t, a in answers for u, b in answers if t == u)
    dask, threads = (statistics.median(times[name]) for name in ("dask", "threads"))
    return [
        Figure("refresh", dask, threads, "s", Text("两个 Dask 进程，对线程", "two Dask workers, against threads")),
        Figure("equal", float(same), 1.0, "yes=1", Text("分级与依据完全一致", "same grades and evidence")),
    ]


def _refresh(home: Path, rows: int, seed: int, address: str | None) -> tuple[float, Any]:
    """The product's own flow on a fresh platform: its seconds, and what it concluded."""
    from pipelines.flows import refresh_dataset
    from sandbox.catalog import repository
    from sandbox.kernel import jobs

    platform, resource_id, job_id = _delivered(home, _table(rows, seed))
    with _settings(PDS_HOME=str(home), PDS_DASK_ADDRESS=address):
        began = time.monotonic()
        state = refresh_dataset(job_id=job_id)
        took = time.monotonic() - began
    if state != jobs.SUCCEEDED:
        raise RuntimeError(f"the refresh ended as {state}")
    with platform.system() as unit:
        columns = repository.columns(unit.session, resource_id)
        told = [(c.name, c.level, c.category, c.entity, c.rule, c.evidence, c.missing, c.distinct) for c in columns]
    platform.database.dispose()
    return took, told


@contextmanager
def _settings(**values: str | None) -> Iterator[None]:
    """The environment with these values, None for unset."""
    before = dict(os.environ)
    for name, value in values.items():
        os.environ.pop(name, None)
        if value is not None:
            os.environ[name] = value
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _delivered(home: Path, content: bytes) -> tuple[Any, str, str]:
    """A platform of its own with one delivery that waits."""
    from api.setup import prepare
    from sandbox.catalog import deliveries, service
    from sandbox.kernel import accounts, jobs
    from sandbox.kernel.identity import OrganisationKind, Role
    from sandbox.kernel.settings import Settings
    from sandbox.kernel.unit import Platform

    platform = Platform(Settings(home=home))
    prepare(platform)
    with platform.system() as unit:
        department = accounts.create_organisation(unit, OrganisationKind.DEPARTMENT, "示范局")
        person = accounts.create_account(unit, department, Role.DEPARTMENT, "bench", "bench", "bench-password").actor()
    digest, size = deliveries.store_delivery(platform.settings.inbox, io.BytesIO(content), 1 << 40)
    with platform.begin(person) as unit:
        made = service.register(
            unit, name="登记", description="", update_cycle="每日", registration_code="B-1"
        )
        deliveries.deliver(unit, made.id, file_name="a.csv", sha256=digest, size=size)
        return platform, made.id, jobs.outbox(unit.session)[0].id


def _table(rows: int, seed: int) -> bytes:
    """Invented people; no two turns have the same content, so that nothing is remembered from the one before."""
    from synthetic.providers import resident_ids

    random = np.random.default_rng(seed + 1)
    births = np.datetime64("1950-01-01") + random.integers(0, 20_000, rows)
    ids = resident_ids(random, births, np.where(random.integers(0, 2, rows), "男", "女"))
    names = [_SURNAMES[a] + _GIVEN[b] + _GIVEN[c] for a, b, c in random.integers(0, 10, (rows, 3))]
    phones, days, amounts = (random.integers(0, top, rows) for top in (10**8, 28, 10**6))
    lines = [
        f"{n},{i},{who},139{p:08d},示范路{p % 997}号{n % 31}室,2026-01-{d + 1:02d},{m / 100:.2f},第{n % 9}窗口"
        for n, (i, who, p, d, m) in enumerate(zip(ids, names, phones, days, amounts, strict=True))
    ]
    return ("序号,身份证号,姓名,手机号,住址,日期,金额,备注\n" + "\n".join(lines) + "\n").encode()


@contextmanager
def _prefect(home: Path) -> Iterator[None]:
    """A Prefect server for this benchmark alone."""
    told = {
        "PREFECT_HOME": str(home / "prefect"), "PREFECT_LOCAL_STORAGE_PATH": str(home / "results"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false", "DO_NOT_TRACK": "1", "PREFECT_LOGGING_LEVEL": "ERROR",
    }  # fmt: skip
    with _settings(**told):
        from prefect.testing.utilities import prefect_test_harness

        with prefect_test_harness(server_startup_timeout=180):
            yield


@contextmanager
def _cluster() -> Iterator[str]:
    from distributed import LocalCluster

    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None, scheduler_port=0) as cluster:
        yield str(cluster.scheduler_address)
