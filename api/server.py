"""The API process: the application under uvicorn."""

from __future__ import annotations

import logging
import threading
import time
from typing import Any, cast

import uvicorn
from fastapi import FastAPI

from api.app import create_app
from api.parts import read_parts
from sandbox.kernel import editions
from sandbox.kernel.settings import Settings
from sandbox.kernel.unit import Platform
from sandbox.workspaces import ending, tiers
from sandbox.workspaces.admission import machine_mb
from sandbox.workspaces.broker import Broker
from sandbox.workspaces.selftest import selftest

log = logging.getLogger("pds.server")
SPARES = 2
"""Warm processes for workspaces that open at the same moment; each holds some 60 MB"""


def build(platform: Platform) -> FastAPI:
    """The application on `platform`, its isolation tested by attack first."""
    import sandbox.migrations.tables  # noqa: F401
    from sandbox.workspaces.limits import limits_of

    tested = selftest()
    with platform.system() as unit:
        tiers.record(unit, tested.as_dict())
        policy = editions.in_force(unit, "workspace").by_check("develop_limits").parameters
    broker = Broker(tested, limits_of(policy), capacity_mb=machine_mb() // 2, spares=SPARES)
    broker.permit = ending.permit(platform)
    threading.Thread(target=_tend_for_ever, args=(broker,), name="idle-workspaces", daemon=True).start()
    threading.Thread(target=_stop_ended_for_ever, args=(platform, broker), name="ended-grants", daemon=True).start()
    threading.Thread(target=ready_self_checks, name="self-checks", daemon=True).start()
    return create_app(platform, broker, lambda: read_parts(platform.settings.home))


def ready_self_checks() -> None:
    """People wait for a self-check: what is slow the first time (a jail, the recognisers, names) is done before."""
    from policies.editions import load
    from sandbox.exports.gate import evaluate
    from sandbox.exports.reading import jailed
    from sandbox.exports.subject import ExportFile, ExportSubject, bounds_in_force

    try:
        bounds = bounds_in_force()
        jailed.keep_warm(bounds)
        file = ExportFile("就绪.csv", "名称,数量\n就绪,1000\n".encode())
        evaluate(ExportSubject((file,), "contract", "record", "file", bounds=bounds), cast("Any", load("export")))
        jailed.keep_warm(bounds)
    except Exception as error:
        log.warning("self-checks will be slow at first: %s", type(error).__name__)


def _tend_for_ever(broker: Broker) -> None:
    while True:
        broker.warm()
        time.sleep(60)
        broker.stop_idle()


def _stop_ended_for_ever(platform: Platform, broker: Broker) -> None:
    """Within a second of a grant's end, wherever it was decided, no worker holds its data any more."""
    while True:
        time.sleep(0.5)
        try:
            ending.stop_ended(platform, broker)
        except Exception as error:
            # The database is away; nothing new starts meanwhile (every statement asks it), the next tick tries again.
            log.warning("ended grants will be looked for again: %s", type(error).__name__)


def main() -> None:
    """Serve until told to stop."""
    settings = Settings()
    uvicorn.run(
        build(Platform(settings)), host=settings.host, port=settings.port, log_level="warning", access_log=False,
        timeout_graceful_shutdown=5,
    )  # fmt: skip


if __name__ == "__main__":
    main()
