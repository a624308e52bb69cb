"""Imports every table of the platform, so that `Base.metadata` is whole."""

from __future__ import annotations

from sandbox.applications import repository as applications
from sandbox.catalog import corrections, plans, schedules, subjects, twins
from sandbox.catalog import repository as catalog
from sandbox.exports import ledger, selfcheck
from sandbox.exports import repository as exports
from sandbox.kernel import accounts, attempts, audit, clocks, editions, jobs, state
from sandbox.kernel.database import Base
from sandbox.merchants import service as merchants
from sandbox.merchants import ties
from sandbox.products import repository as products
from sandbox.reporting import service as reporting
from sandbox.workspaces import metering_record, notebook, preview_record, reading_record
from sandbox.workspaces import own_record as own_work
from sandbox.workspaces import repository as workspaces

MODULES = (
    accounts, applications, attempts, audit, catalog, clocks, corrections, editions, exports, jobs, ledger, merchants,
    metering_record, notebook, own_work, plans, preview_record, products, reading_record, reporting, schedules,
    selfcheck, state, subjects, ties, twins, workspaces,
)  # fmt: skip
METADATA = Base.metadata
