"""`pds job cancel | retry`: the operator's hand on one job; the running platform does the rest."""

from __future__ import annotations

from typing import Annotated

import typer

from api.cli.installation import Login, actor_of, installed
from api.cli.output import AsJson, answer

JobId = Annotated[str, typer.Argument(metavar="JOB", help="任务编号 · id of the job")]


def cancel(job: JobId, login: Login, as_json: AsJson = False) -> None:
    """取消一个排队或运行中的任务（运营人员）· Cancel a job that waits or runs; an operator"""
    from sandbox.kernel import cancellation

    with installed() as platform, platform.begin(actor_of(platform, login)) as unit:
        state = cancellation.cancel(unit, job).state
    answer({"id": job, "state": state}, as_json, lambda: print(f"✔ {job}  {state}"))


def retry(job: JobId, login: Login, as_json: AsJson = False) -> None:
    """重试一个失败或已取消的任务，已成功的步骤不重做 · Retry a failed or cancelled job from where it broke"""
    from sandbox.kernel import jobs

    with installed() as platform, platform.begin(actor_of(platform, login)) as unit:
        state = jobs.retry(unit, job).state
    answer({"id": job, "state": state}, as_json, lambda: print(f"✔ {job}  {state}"))
