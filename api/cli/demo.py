"""`pds demo`: walk the whole story once and print each step with its audit event."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Annotated

import typer


def command(
    url: Annotated[str | None, typer.Option(help="在运行中的服务上演示 · walk it on a running server")] = None,
    password: Annotated[
        str | None, typer.Option(envvar="PDS_DEMO_PASSWORD", help="演示账号口令 · the demo accounts' password")
    ] = None,
    home: Annotated[Path | None, typer.Option(help="保留数据的目录 · keep the state in this folder")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="只输出一个 JSON · print one JSON document")] = False,
) -> None:
    """走完一个完整的故事 · Walk the whole story once"""
    from api.demo import story
    from api.demo.client import ApiError

    started, told = time.monotonic(), []
    shown = _Printer(quiet=as_json)

    def tell(step: story.Told) -> None:
        told.append(step)
        shown.step(step)

    problem = ""
    try:
        _play(url, password, home, tell)
    except (story.Unexpected, ApiError, TimeoutError) as error:
        problem = str(error)
    seconds = time.monotonic() - started
    if as_json:
        steps = [{"chapter": t.chapter, "what": t.what, "seen": t.seen, "event": t.event} for t in told]
        print(
            json.dumps(
                {"ok": not problem, "problem": problem, "seconds": round(seconds, 1), "steps": steps},
                ensure_ascii=False,
            )
        )
    else:
        shown.end(problem, len(told), seconds)
    raise typer.Exit(1 if problem else 0)


def _play(url: str | None, password: str | None, home: Path | None, tell: object) -> None:
    import tempfile

    from api.demo import city, stages, story
    from sandbox.kernel.settings import Settings
    from sandbox.kernel.unit import Platform

    with tempfile.TemporaryDirectory(prefix="pds-demo-") as scratch:
        if url is None:
            with stages.embedded(home or Path(scratch) / "home") as stage:
                story.play(stage, tell)  # type: ignore[arg-type]
            return
        secret = password or city.password_of(Platform(Settings()))
        with stages.remote(url, secret, Path(scratch) / "city") as far:
            story.play(far, tell)  # type: ignore[arg-type]


class _Printer:
    def __init__(self, quiet: bool) -> None:
        self.quiet, self.chapter = quiet, ""

    def step(self, step: object) -> None:
        if self.quiet:
            return
        from api.demo.story import Told

        assert isinstance(step, Told)
        if step.chapter != self.chapter:
            self.chapter = step.chapter
            print(f"\n{step.chapter}", flush=True)
        event = f"  ⟨{step.event}⟩" if step.event else ""
        print(f"  ✔ {step.what}\n      {step.seen}{event}", flush=True)

    def end(self, problem: str, steps: int, seconds: float) -> None:
        if problem:
            print(f"\n✘ 故事在这一步中断 · the story stopped: {problem}", file=sys.stderr)
        else:
            print(f"\n✔ {steps} 步全部符合预期，用时 {seconds:.0f} 秒 · all {steps} steps as expected")
