"""The import check of a merchant's own file: reading and detection, each in a jail of its own."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from typing import Any

from policies.text import UserError
from sandbox.kernel.jobs import Effect, Job, Work
from sandbox.kernel.unit import Unit
from sandbox.workspaces import importing, uploads
from sandbox.workspaces.importing import Checked
from sandbox.workspaces.selftest import selftest


class Importing:
    """Checks one upload; its end is the upload's next state."""

    def run(self, work: Work) -> Effect:
        with work.platform.system() as unit:
            found = uploads.begin_check(unit, work.job.subject_id)
            settings, original = uploads.settings_of(unit, found), uploads.original_of(unit, found)
            table = uploads.table_of(unit, found)
        form = selftest().form
        shutil.rmtree(table.parent, ignore_errors=True)  # of an attempt that was lost
        read = work.step("read", 10, lambda: importing.read(
            original, table.parent, settings, form, lambda: work.reached("read", 10)))  # fmt: skip
        looked = Checked()
        if read.path is not None:
            place = read.path
            looked = work.step("detect", 50, lambda: importing.detect(
                place, settings, form, lambda: work.reached("detect", 50)))  # fmt: skip

        def effect(unit: Unit) -> Mapping[str, Any]:
            return {"state": uploads.conclude(unit, work.job.subject_id, read, looked).state}

        return effect

    def failed(self, unit: Unit, job: Job, error: UserError) -> None:
        uploads.failed(unit, job.subject_id, error)
