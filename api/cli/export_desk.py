"""`pds export queue`, `pds export canary add | report`, `pds release trace`: what needs people or the secret."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.cli.installation import Login, actor_of, installed
from api.cli.output import AsJson, answer, say
from api.cli.tables import require_file
from policies.text import Text

if TYPE_CHECKING:
    from sandbox.exports.groups import Line
    from sandbox.exports.repository import ExportRequest
    from sandbox.kernel.unit import Unit


def queue(login: Login, as_json: AsJson = False) -> None:
    """待复核队列，先到期、再按风险，同组文件一行（合规人员）· What waits for officers, a line for each group"""
    from sandbox.exports import groups
    from sandbox.kernel import clocks

    with installed() as platform, platform.begin(actor_of(platform, login)) as unit:
        left: dict[str, list[int | None]] = defaultdict(list)
        for clock in clocks.running(unit.session, "export"):
            left[clock.subject_id].append(clock.days_left(unit.now))
        rows = [_line(unit, line, left) for line in groups.queue(unit)]

    def show() -> None:
        for row in rows:
            left = say(Text("期限未知", "no date")) if row["days_left"] is None else say(
                Text(f"余 {row['days_left']} 个工作日", f"{row['days_left']} working days"))  # fmt: skip
            if row["count"] > 1:
                print(f"  {row['group']}  {say(Text('{} 个文件', '{} files')).format(row['count'])}  {left}  "
                      f"{say(Text('风险', 'risk'))} {row['risk']}")  # fmt: skip
            for file in row["files"]:
                mark, last = ("→" if file["mine"] else " "), "" if row["count"] > 1 else f"  {left}"
                print(f"{mark} {file['id']}  {say(Text(**file['state']))}  {file['given']}/{file['needed']}{last}  "
                      f"{say(Text('风险', 'risk'))} {file['risk']}  {say(Text(**file['title']))}")  # fmt: skip
        if not rows:
            print(say(Text("没有待复核的申请", "nothing waits")))

    answer({"queue": rows}, as_json, show)


def _line(unit: Unit, line: Line, left: Mapping[str, Sequence[int | None]]) -> dict[str, Any]:
    """`left`: request → working days of its clocks, read for the whole queue at once."""
    from sandbox.exports import review, reviewing

    days = [one for r in line.files for one in left.get(r.id, ())]
    files = []
    for record in line.files:
        given, needed = reviewing.progress(unit, record)
        files.append(described(unit, record) | {
            "risk": review.risk(record), "given": given, "needed": needed,
            "mine": reviewing.may_review(unit, record) is None,
        })  # fmt: skip
    return {"group": line.group_id, "count": len(files), "risk": line.risk, "due_on": line.due_on,
            "days_left": min((d for d in days if d is not None), default=None), "files": files}  # fmt: skip


def described(unit: Unit, record: ExportRequest) -> dict[str, Any]:
    """A request as commands print it: words that nobody has looked through stay covered."""
    from sandbox.exports.model import EXPORT
    from sandbox.exports.review import words_for

    title = words_for(unit.actor, record)["title"]
    return {"id": record.id, "title": (title if isinstance(title, Text) else Text(title, title)).as_dict(),
            "state": EXPORT.state(record.state).label.as_dict()}  # fmt: skip


def trace(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="流出的副本 · the leaked copy")],
    login: Login,
    as_json: AsJson = False,
) -> None:
    """由流出的副本查找接收方（合规人员；找到时退出码 1）· Whose copy is this; exit 1 when a recipient is found"""
    from sandbox.exports import tracing

    require_file(path)
    with installed() as platform, platform.begin(actor_of(platform, login)) as unit:
        found = tracing.trace(unit, path.read_bytes())

    def show() -> None:
        for one in found:
            how = Text("标记吻合，可以认定", "the mark names it") if one["certain"] else Text(
                "内容相同，标记已不在，不能认定", "same rows, but the mark is gone: not certain")  # fmt: skip
            print(f"{'✘' if one['certain'] else '?'} {one['release']}  {one['recipient']}  {say(how)}  "
                  f"{one['agreeing']}/{one['compared']}  p≤{one['chance']:.1e}  "
                  f"{say(Text('相同行', 'rows'))} {one['rows']:.0%}")  # fmt: skip
        if not found:
            print(say(Text("与任何放行都不相符", "no release matches")))

    answer({"matches": found}, as_json, show, finding=bool(found))


def plant(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="含已知泄露的文件 · a file with a known leak")],
    case: Annotated[str, typer.Option(help="语料编号 · the corpus' name of the leak")],
    rule: Annotated[str, typer.Option(help="应发现的规则 · the rule that it breaks")],
    like: Annotated[str, typer.Option(help="仿照哪件申请的样子 · the request whose looks it takes")],
    login: Login,
    as_json: AsJson = False,
) -> None:
    """把已知泄露放入复核队列检验复核人；永远不能放行（运营人员）· Plant a known leak; it is never released"""
    from policies.verdict import Verdict
    from sandbox.exports import canaries, repository
    from sandbox.exports.review import Stakes

    require_file(path)
    leak = canaries.Leak(case, rule, path.name, path.read_bytes())
    with installed() as platform, platform.begin(actor_of(platform, login)) as unit:
        model = repository.get(unit.session, like)
        shown = Verdict.from_dict(model.verdict or {})
        stakes = Stakes(**(model.stakes or {"form": "aggregate", "level": None, "model": False,
                                            "volume_percent": None}))  # fmt: skip
        made = canaries.plant(unit, leak, like=like, verdict=shown, stakes=stakes)
        document = {"id": made.id, "case": case, "rule": rule, "state": made.state}
    answer(document, as_json, lambda: print("✔ " + say(Text(f"已放入队列：{document['id']}", f"{document['id']}"))))


def catches(login: Login, as_json: AsJson = False) -> None:
    """检验件识别率，按复核人（运营或审计）· How reviewers did on planted cases"""
    from sandbox.exports import reviewing

    with installed() as platform, platform.begin(actor_of(platform, login)) as unit:
        found = reviewing.catches(unit)

    def show() -> None:
        print(say(Text(f"已结束 {found['over']} 件，识别 {found['caught']} 件",
                       f"{found['over']} over, {found['caught']} caught")))  # fmt: skip
        for one in found["officers"]:
            print(f"  {one['officer']}  {one['caught']}/{one['cases']}")

    answer(found, as_json, show)
