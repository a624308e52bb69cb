"""`pds job show | cancel | retry`: what one job did, and the operator's hand on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.cli.installation import Login, actor_of, installed
from api.cli.output import AsJson, answer, heading, say, table
from policies.text import Text

if TYPE_CHECKING:
    from api.routes.shapes import AttemptOut, EventOut, JobRecordOut, StepOut

JobId = Annotated[str, typer.Argument(metavar="JOB", help="任务编号 · id of the job")]


def show(
    job: JobId, login: Login,
    find: Annotated[str, typer.Option(help="只列含此文字的留痕 · only events with this text")] = "",
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """查看一个任务的步骤、历次执行和留痕（运营或审计人员）· Steps, attempts and log of a job; operator or auditor"""
    from api.routes.shapes import EventOut, JobRecordOut
    from sandbox.catalog import work
    from sandbox.kernel import oversight

    with installed() as platform, platform.begin(actor_of(platform, login)) as unit:
        record, attempts = work.record(unit, job)
        events = [EventOut.model_validate(e) for e in oversight.job_log(unit, record, find.strip())]
        found = JobRecordOut.of(record, attempts)
    document = {**found.model_dump(mode="json"), "events": [e.model_dump(mode="json") for e in events]}
    answer(document, as_json, lambda: _print(found, events))


def _print(job: JobRecordOut, events: Sequence[EventOut]) -> None:
    """The same as the portal's page of the job, for a terminal."""
    from api.pages.words_events import event_words
    from api.pages.words_oversight import JOB_KINDS, step_words
    from api.pages.words_states import fixed_state

    print(f"{say(JOB_KINDS[job.kind])}  {job.id}  {say(fixed_state('job', job.state).label)}  {job.progress} %")
    for attempt in job.attempts:
        state = say(fixed_state("attempt", attempt.state).label)
        heading(f"{say(Text(f'第 {attempt.attempt} 次', f'attempt {attempt.attempt}'))}  {state}  {_took(attempt)}")
        if attempt.error:
            _print_error(attempt.error, attempt.error_code)
        table(
            [Text("步骤", "step"), Text("状态", "state"), Text("开始", "started"), Text("用时", "took"),
             Text("数量", "parts"), Text("沿用", "reused"), Text("代码", "code")],
            [[step_words(s.name), fixed_state("step", s.state).label, _at(s.started_at), _took(s), s.parts,
              s.reused, s.error_code] for s in attempt.steps],
        )  # fmt: skip
    heading(say(Text("平台留痕", "log")))
    headers = [Text("序号", "no."), Text("时间", "time"), Text("事项", "what"), Text("要素", "facts")]
    table(headers, [[e.seq, _at(e.at), event_words(e.event) or e.event, _facts(e.facts)] for e in events])


def _print_error(error: Mapping[str, Any], code: str | None) -> None:
    print(f"  ✘ {say(Text(**error['text']))}  [{code}]")
    if error["fix"]:
        print(f"  {say(Text('怎么办：', 'what to do: '))}{say(Text(**error['fix']))}")


def _at(moment: datetime) -> str:
    from sandbox.kernel.clock import CITY

    return f"{moment.astimezone(CITY):%Y-%m-%d %H:%M:%S}"


def _took(row: AttemptOut | StepOut) -> str:
    """Seconds between start and end; of what has no end, nothing yet."""
    return f"{(row.finished_at - row.started_at).total_seconds():.1f} s" if row.finished_at else "…"


def _facts(facts: Mapping[str, object]) -> str:
    return " ".join(f"{name}={value}" for name, value in facts.items())


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
