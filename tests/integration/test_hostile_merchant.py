"""A hostile merchant with nothing but the HTTP API and the portal's forms: every attack has a name and an expected end.

Whatever is sent, the answer is never a server error and never holds anything of a neighbour.
"""

from __future__ import annotations

import gzip
import re
import socket
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import duckdb
import httpx
import pytest
from fastapi.routing import APIRoute

from api.pages import MODULES as PAGES
from sandbox.applications import service as applications
from sandbox.exports import repository as exports
from sandbox.kernel.unit import Unit
from sandbox.merchants import service as merchants
from sandbox.workspaces import ending
from sandbox.workspaces import service as workspaces
from tests import hostile
from tests.factories import CONTEXT, PASSWORD
from tests.hostile import CLOSED, NAMES, PUBLIC, Operation, Scene, bare, statements, unknown, wait_until, work_of
from tests.integration.test_locked_duckdb import EXTENSIONS, READS, ROUNDABOUT, SETTINGS, WRITES
from tests.neighbours import House, Street, served
from tests.pages import TOKEN

SECRET = "秘密-of-another-workspace"
ENDLESS = "SELECT count(*) FROM range(10000000) a, range(10000000) b WHERE (a.range * b.range) % 7 = 3"

ASKED = {"artefact_id": "x", "title": "x", "audience": "public", "context": CONTEXT}


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Iterator[Street]:
    with served(tmp_path_factory.mktemp("hostile") / "home", sqlite_template) as running:
        yield running


@pytest.fixture(scope="module")
def scene(street: Street) -> Iterator[Scene]:
    world = street.world
    victim = street.build("merchant", "甲方-一号应用")
    sibling = street.build("merchant", "甲方-二号应用")
    mine = street.build("stranger", "乙方")
    theirs = {
        "workspace_id": victim.workspace, "application_id": victim.application, "grant_id": victim.grant,
        "run_id:runs": world.requested_run(victim.workspace), "request_id:exports": world.export("draft"),
        "onboarding_id": world_onboarding(street, "merchant"), "merchant_id": street.actor("merchant").organisation_id,
        "artefact_id": world.artefact(victim.workspace),
        "approval_id": next(iter(world.approvals(victim.application))),
    }  # fmt: skip
    with world.system() as unit:
        theirs["group_id"] = exports.get(unit.session, theirs["request_id:exports"]).group_id
    own = {"workspace_id": mine.workspace, "application_id": mine.application, "grant_id": mine.grant}
    with street.client("stranger") as client, street.client("merchant") as owner:
        for house, person in ((victim, owner), (sibling, owner), (mine, client)):
            sql = f"CREATE TABLE 自有 AS SELECT '{house.mark}-自有' AS 标记;"
            sql += f'CREATE TABLE "{house.mark}" AS FROM 自有'
            answer = person.post(f"/workspaces/{house.workspace}/query", json={"sql": sql})
            assert answer.status_code == 200, answer.text
        theirs |= {"name": victim.mark} | work_of(owner, victim)
        yield Scene(street, victim, sibling, mine, theirs, own, client, owner)


def world_onboarding(street: Street, login: str) -> str:
    with street.world.by(street.actor(login)) as unit:
        return merchants.list_for(unit)[0].id


def nothing_of_others(scene: Scene, answer: httpx.Response, *, sent: str = "") -> None:
    """No server error, the shape of a problem where it is one, and no mark or id of a neighbour that was not sent."""
    assert answer.status_code < 500, answer.text
    if answer.is_error and "upgrade" not in answer.request.headers:
        assert answer.headers["content-type"] == "application/problem+json", answer.text
    for secret in scene.secrets():
        assert secret in sent or secret not in answer.text, secret
    for inner in (str(scene.street.world.platform.settings.home), "Traceback", "sqlalchemy"):
        assert inner in sent or inner not in answer.text


def sent_in(request: httpx.Request) -> str:
    """What the attacker sent, and may therefore find in the answer."""
    try:
        return f"{request.url} {request.content.decode('utf-8', 'replace')}"
    except httpx.RequestNotRead:
        return str(request.url)


# -- what belongs to others: a walk over every route with an id


def owned() -> list[str]:
    """Every operation with an owned id, by the API's routers (the application's own description is used inside)."""
    from tests.unit.test_routes import ROUTES

    return sorted({f"{r.method} {r.key[1]}" for r in ROUTES if "{" in r.path})


def operation(scene: Scene, name: str) -> Operation:
    return next(o for o in hostile.operations(scene.street.app) if o.name == name)


@pytest.mark.parametrize("name", owned())
def test_what_others_have_looks_like_what_nobody_has(scene: Scene, name: str) -> None:
    """Same status, same bytes, same headers, same number of database statements; for each id in the path."""
    found = operation(scene, name)
    not_known = [p for p in found.parameters if found.subject(p) not in scene.theirs and p not in PUBLIC | CLOSED]
    assert not not_known, f"{name}: say in this suite whose {not_known} is, and put one of the victim's into the scene"
    for asked in found.parameters:
        if asked in PUBLIC:
            continue
        foreign = scene.theirs.get(found.subject(asked), "job-222222222222")
        others = {p: scene.mine.get(p) or scene.theirs.get(found.subject(p), "2026-03") for p in found.parameters}
        made_up = unknown(foreign)
        with statements(scene.street) as for_theirs:
            theirs = scene.ask(found.method, found.url(others | {asked: foreign}), **found.options())
        with statements(scene.street) as for_nobodys:
            nobodys = scene.ask(found.method, found.url(others | {asked: made_up}), **found.options())
        nothing_of_others(scene, theirs, sent=found.url(others | {asked: foreign}))
        assert theirs.status_code in ({403} if asked in CLOSED else {404, 422} if asked in NAMES else {403, 404})
        assert bare(theirs, foreign, made_up) == bare(nobodys, foreign, made_up)
        assert len(theirs.content) == len(nobodys.content) or asked in NAMES
        assert len(for_theirs) == len(for_nobodys), (for_theirs, for_nobodys)


def test_the_walk_covers_every_route_that_the_description_knows(scene: Scene) -> None:
    described = {o.name for o in hostile.operations(scene.street.app) if o.parameters}
    assert described == set(owned())
    assert len(described) > 60


@pytest.mark.parametrize("path", ["/workspaces", "/applications", "/exports", "/merchants", "/onboardings"])
def test_lists_hold_only_ones_own(scene: Scene, path: str) -> None:
    answer = scene.ask("GET", path)
    nothing_of_others(scene, answer)
    if answer.status_code == 200:
        organisations = {entry["organisation_id"] for entry in answer.json()}
        assert organisations <= {scene.street.actor("stranger").organisation_id}
        assert organisations or path == "/exports"


# -- statements sent through the query route

OUTSIDE = [*READS, *ROUNDABOUT, *WRITES, *SETTINGS, *EXTENSIONS]


@pytest.fixture(scope="module")
def outside(scene: Scene, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """Fills the attempts' places with real ones of this machine: files that exist, and the neighbour's own folder."""
    other = tmp_path_factory.mktemp("outside")
    with duckdb.connect(str(other / "s.duckdb")) as con:
        con.execute("CREATE TABLE s AS SELECT ? AS t", [SECRET])
        for kind in ("csv", "json", "parquet"):
            con.execute(f"COPY s TO '{other}/s.{kind}'")
    own = scene.street.world.platform.settings.workspaces_root / scene.mine_house.workspace / "simulated"

    def fill(sql: str) -> str:
        return sql.replace("{out}", str(other)).replace("{root}", str(own.parent)).replace("{ws}", str(own))

    return fill


@pytest.mark.parametrize("sql", OUTSIDE)
def test_no_statement_reaches_outside(scene: Scene, outside: Callable[[str], str], sql: str) -> None:
    folder = Path(outside("{out}"))
    before = {p: p.stat().st_mtime_ns for p in folder.iterdir()}
    answer = scene.sql(outside(sql))
    assert answer.status_code == 422 or (answer.status_code == 200 and SECRET not in answer.text), answer.text
    nothing_of_others(scene, answer)
    assert {p: p.stat().st_mtime_ns for p in folder.iterdir()} == before
    if sql in SETTINGS:
        assert answer.status_code == 422


NEIGHBOURS = {
    "the neighbour's database by its place": "ATTACH '{db}' AS o",
    "the neighbour's database read only": "ATTACH '{db}' AS o (READ_ONLY)",
    "the neighbour's twin snapshot": "FROM read_parquet('{snapshot}')",
    "the neighbour's real snapshot": "FROM '{real}'",
    "all snapshots": "FROM glob('{snapshots}/*/*')",
    "all workspaces": "FROM glob('{workspaces}/*')",
    "the metadata database": "FROM read_blob('{home}/metadata.sqlite')",
    "the platform's keys": "FROM read_text('{home}/keys/forms.key')",
    "the neighbour's table by name": 'FROM "{table}"',
    "the neighbour's own table": "SELECT 标记 FROM 自有 WHERE 标记 LIKE '甲方%'",
    "the real rows of the own grant": "FROM read_parquet('{own_real}')",
    "open databases": "SELECT database_name, path FROM duckdb_databases()",
    "secrets": "FROM duckdb_secrets()",
    "settings": "SELECT name, value FROM duckdb_settings()",
    "memory of processes": "FROM read_text('/proc/1/environ')",
    "command lines": "FROM read_text('/proc/self/cmdline')",
    "open files": "FROM glob('/proc/self/fd/*')",
    "logs": "FROM duckdb_logs()",
    "connections": "FROM duckdb_connections()",
    "temporary files": "FROM duckdb_temporary_files()",
    "the standard streams": "FROM read_csv('/dev/stdin')",
    "a web address": "FROM read_csv('http://127.0.0.1:1/x.csv')",
    "a database by network": "ATTACH 'host=127.0.0.1' AS p (TYPE postgres)",
}


@pytest.mark.parametrize("what", NEIGHBOURS)
def test_nothing_of_a_neighbour_is_found_by_statement(scene: Scene, what: str) -> None:
    settings = scene.street.world.platform.settings
    with scene.street.world.system() as unit:
        from sandbox.applications import repository as records

        snapshots = {h.owner: records.grant(unit.session, h.grant).snapshot for h in (scene.victim, scene.mine_house)}

    def file_of(owner: str, binding: str) -> str:
        return str(settings.snapshots_root / snapshots[owner][binding]["digest"] / "data.parquet")

    sql = NEIGHBOURS[what].format(
        db=settings.workspaces_root / scene.victim.workspace / "simulated" / "workspace.duckdb",
        snapshot=file_of("merchant", "twin"), real=file_of("merchant", "real"), own_real=file_of("stranger", "real"),
        snapshots=settings.snapshots_root, workspaces=settings.workspaces_root, home=settings.home,
        table=scene.victim.table,
    )  # fmt: skip
    answer = scene.sql(sql)
    assert answer.status_code in (200, 422)
    for mark in (scene.victim.mark, scene.sibling.mark, "乙方-real", "PDS_", "sqlite", "metadata"):
        assert mark not in answer.text.replace(sql, "")
    assert answer.status_code == 422 or answer.json()["row_count"] == 0 or what in ("open databases", "settings")
    nothing_of_others(scene, answer, sent=sql)


# -- everything else that can be sent: name → (what is done, statuses that may come back)

Answers = httpx.Response | Iterable[httpx.Response]


@dataclass(frozen=True)
class Attack:
    """`act` sends it; `expected` are the only statuses it may get."""

    name: str
    expected: tuple[int, ...]
    act: Callable[[Scene], Answers]


def own(scene: Scene, *more: str) -> str:
    return "/".join(["/workspaces", scene.mine_house.workspace, *more])


def spec(scene: Scene, **changes: Any) -> dict[str, Any]:
    """A job on the attacker's own grant, with something turned."""
    return scene.street.world.spec(scene.mine_house.grant) | changes


def run(scene: Scene, **changes: Any) -> httpx.Response:
    return scene.post(own(scene, "runs"), {"spec": spec(scene, **changes)})


def authorised(scene: Scene, *headers: tuple[str, str], url: str = "/me") -> httpx.Response:
    """A request with just these headers."""
    with httpx.Client(base_url=scene.client.base_url) as plain:
        return plain.get(url, headers=list(headers))


HOSTILE_NAMES = {
    "quotes": "'; DROP TABLE account; --\"`", "slashes": "../../../../etc/passwd", "newlines": "a\r\nSet-Cookie: x=1\n",
    "NUL": "a\x00b", "right to left": "\u202egnp.exe", "markup": "<script>alert(1)</script>{{7*7}}${7*7}",
    "terminal": "\x1b]0;x\x07\x1b[2J", "long": "长" * 10_000, "lone surrogate": "\ud800",
    "formula": "=cmd|' /C calc'!A0",
    "null of text": "null", "emoji": "👩‍👩‍👧‍👦" * 20, "percent": "%00%2e%2e%2f%n%s", "blank": " \u3000\u200b",
}  # fmt: skip
APPROVE = {"decision": "approve", "reason": "x"}
REFUSED = (400, 404, 405, 413, 415, 422)
TAKEN_OR_REFUSED = (200, 201, 202, *REFUSED, 409)

ATTACKS = [
    # ids of others where an own id is expected
    Attack("a workspace on the victim's application", (404,),
           lambda s: s.post("/workspaces", {"application_id": s.victim.application})),
    Attack("a job on the victim's grant", (404, 422),
           lambda s: run(s, inputs={"visit": {"grant": s.victim.grant}})),
    Attack("a job on a grant nobody has", (404, 422),
           lambda s: run(s, inputs={"visit": {"grant": "grt-222222222222"}})),
    Attack("an export of the victim's artefact", (404,),
           lambda s: s.post("/exports", ASKED | {"artefact_id": s.theirs["artefact_id"]})),
    Attack("an own workspace in the path and the victim's in the query", (200,),
           lambda s: s.post(own(s, "query") + f"?workspace_id={s.victim.workspace}", {"sql": "FROM 自有"})),
    Attack("the victim's workspace in the body", (422,),
           lambda s: s.sql("FROM 自有", workspace_id=s.victim.workspace)),
    Attack("the victim's organisation in a header", (200,),
           lambda s: s.ask("GET", "/workspaces", headers={"x-organisation-id": s.theirs["merchant_id"]})),
    Attack("one application's job in another's workspace of one merchant", (404, 422),
           lambda s: s.owner.post(f"/workspaces/{s.sibling.workspace}/runs",
                                  json={"spec": s.street.world.spec(s.victim.grant)})),
    Attack("cancel of a neighbour's query", (404, 405),
           lambda s: s.post(f"/workspaces/{s.victim.workspace}/query/cancel")),
    # who one is
    Attack("no sign-in", (401,), lambda s: authorised(s)),
    Attack("a token in the address", (401,), lambda s: authorised(s, url=f"/me?token={s.street.token('merchant')}")),
    Attack("a token as a cookie", (401,),
           lambda s: authorised(s, ("cookie", f"pds_session={s.street.token('merchant')}"))),
    Attack("basic instead of bearer", (401,), lambda s: authorised(s, ("authorization", "Basic bWVyY2hhbnQ6eA=="))),
    Attack("two authorisations, the second one good", (401, 400),
           lambda s: authorised(s, ("authorization", "Bearer pds_x"),
                                ("authorization", f"Bearer {s.street.token('stranger')}"))),
    Attack("a token cut by one character", (401,),
           lambda s: authorised(s, ("authorization", f"Bearer {s.street.token('stranger')[:-1]}"))),
    Attack("a pattern for a token", (401,), lambda s: authorised(s, ("authorization", "Bearer %"))),
    Attack("the role in a header", (403,),
           lambda s: s.ask("GET", "/audit/events", headers={"x-role": "auditor", "x-forwarded-user": "auditor"})),
    Attack("another method by header", (403, 404, 405),
           lambda s: s.ask("GET", f"/workspaces/{s.victim.workspace}/close",
                           headers={"x-http-method-override": "POST"})),
    Attack("an operator's step", (403,), lambda s: s.post(own(s, "standing"), {"decision": "unfreeze", "reason": "x"})),
    Attack("an officer's step", (403,),
           lambda s: s.post(f"/exports/{s.theirs['request_id:exports']}/review", APPROVE)),
    Attack("the clock", (403,), lambda s: s.post("/platform/clock", {"to": "2030-01-01T00:00:00Z"})),
    Attack("the isolation's decision", (403,),
           lambda s: s.post("/platform/isolation", {"tier": "weak", "reason": "x"})),
    # more fields than there are
    Attack("an owner in the body", (422,),
           lambda s: s.post("/workspaces", {"application_id": s.mine_house.application, "organisation_id": "org-x"})),
    Attack("a state in the body", (422,),
           lambda s: s.post("/exports", ASKED | {"state": "approved"})),
    Attack("a mode in the body", (422,), lambda s: s.sql("FROM 自有", mode="real")),
    Attack("tables in the body", (422,), lambda s: s.sql("FROM 自有", tables={"x": "/etc/passwd"})),
    Attack("the same field twice", (200, 400, 422),
           lambda s: s.raw(own(s, "query"), b'{"sql": "SELECT 1", "sql": "FROM duckdb_databases()"}')),
    Attack("a prototype in the body", (422,), lambda s: s.sql("SELECT 1", __proto__={"role": "operator"})),
    # real data by a job
    Attack("a job that prints rows", (202, 422), lambda s: run(s, output={"kind": "rows", "format": "csv"})),
    Attack("a job that names its binding", (422,), lambda s: run(s, binding="real")),
    Attack("a job with a place for its output", (422,),
           lambda s: run(s, output={"kind": "aggregate", "path": "/tmp/x"})),
    Attack("a job whose step reads a file", (202, 422),
           lambda s: run(s, prepare=[{"name": "p", "sql": "FROM read_text('/etc/passwd')"}])),
    Attack("a job with two statements in a step", (202, 422),
           lambda s: run(s, prepare=[{"name": "p", "sql": "SELECT 1; DROP TABLE visit"}])),
    Attack("a job in YAML that makes objects", (422,),
           lambda s: s.post(own(s, "runs"), {"spec": "!!python/object/apply:os.system ['id']"})),
    Attack("a job in YAML that grows", (413, 422), lambda s: s.post(own(s, "runs"), {"spec": _billion_laughs()})),
    Attack("a job with a million dimensions", (413, 422),
           lambda s: run(s, dimensions=[f"d{n}" for n in range(60_000)])),
    # what is sent
    Attack("JSON as plain text", (422,), lambda s: s.raw(own(s, "query"), b'{"sql": "SELECT 1"}', "text/plain")),
    Attack("XML with an entity", (422,),
           lambda s: s.raw(own(s, "query"), b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><x>&e;</x>',
                           "application/xml")),
    Attack("a form instead of JSON", (422,),
           lambda s: s.client.post(own(s, "query"), data={"sql": "SELECT 1"})),
    Attack("a file instead of JSON", (422,),
           lambda s: s.client.post(own(s, "query"), files={"sql": ("x.sql", b"SELECT 1")})),
    Attack("another alphabet", (200, 400, 422),
           lambda s: s.raw(own(s, "query"), '{"sql": "SELECT 1"}'.encode("utf-16"))),
    Attack("broken UTF-8", (400, 422), lambda s: s.raw(own(s, "query"), b'{"sql": "\xff\xfe"}')),
    Attack("JSON nested 100,000 deep", (400, 413, 422), lambda s: s.raw(own(s, "query"), hostile.nested(100_000))),
    Attack("JSON nested 900 deep in a job", (400, 422),
           lambda s: s.raw(own(s, "runs"), hostile.nested(900).replace(b"sql", b"spec"))),
    Attack("a number of 100,000 digits", (400, 422),
           lambda s: s.raw(own(s, "query"), b'{"sql": ' + b"9" * 100_000 + b"}")),
    Attack("NaN and Infinity", (400, 422), lambda s: s.raw("/tokens", b'{"label": "x", "days": NaN}')),
    Attack("a body of 8 MB", (413,), lambda s: s.raw(own(s, "query"), b'{"sql": "' + b"x" * (8 << 20) + b'"}')),
    Attack("a compressed body that unfolds", (400, 413, 415, 422),
           lambda s: s.raw(own(s, "query"), gzip.compress(b'{"sql": "' + b" " * (64 << 20) + b'"}'),
                           **{"content-encoding": "gzip"})),
    Attack("a statement of 100,000 characters", (200, 422), lambda s: s.sql("SELECT 1" + " " * 99_000)),
    Attack("a statement over the limit", (422,), lambda s: s.sql("SELECT 1" + " " * 100_001)),
    Attack("a statement nested 5,000 deep", (422,), lambda s: s.sql("SELECT " + "(" * 5_000 + "1" + ")" * 5_000)),
    Attack("an empty statement", (200, 422), lambda s: [s.sql(""), s.sql(";"), s.sql("-- x"), s.sql("\x00")]),
    Attack("numbers without end in the query", (200, 422),
           lambda s: [s.ask("GET", f"/workspaces?limit={n}&offset={n}")
                      for n in ("9" * 400, "-1", "1e309", "NaN", "%00")]),
    # names
    *(Attack(f"a token's label of {kind}", (201, *REFUSED), lambda s, v=value: _named(s, "/tokens", label=v, days=1))
      for kind, value in HOSTILE_NAMES.items()),
    *(Attack(f"a scenario of {kind}", TAKEN_OR_REFUSED,
             lambda s, v=value: _named(s, "/applications", scenario=v, purpose=v, product_form="aggregate",
                                       audience="public", term_months=1,
                                       requested={s.mine_house.resource: {v[:200]: "统计维度"}}))
      for kind, value in HOSTILE_NAMES.items()),
    *(Attack(f"a statement's name of {kind}", (200, *REFUSED),
             lambda s, v=value: _named(s, own(s, "query"), sql='SELECT 1 AS "' + v.replace('"', '""') + '"'))
      for kind, value in HOSTILE_NAMES.items()),
    *(Attack(f"a job named {kind}", TAKEN_OR_REFUSED, lambda s, v=value: _named(s, own(s, "runs"), spec=spec(s, job=v)))
      for kind, value in HOSTILE_NAMES.items()),
    *(Attack(f"an id of {kind}", (*REFUSED, 307), lambda s, v=value: _ids_of(s, v))
      for kind, value in HOSTILE_NAMES.items() if kind != "lone surrogate"),
    # headers
    Attack("a header in a path", (404,), lambda s: s.ask("GET", "/workspaces/x%0d%0aSet-Cookie:%20a=b")),
    Attack("a header in the language", (200,), lambda s: s.ask("GET", "/me?lang=en%0d%0aX-Evil:1")),
    Attack("a host of one's own", (200,), lambda s: s.ask("GET", "/me", headers={"host": "evil.example"})),
    Attack("another protocol asked for", (200, 400, 403, 404),
           lambda s: s.ask("GET", "/me", headers={"upgrade": "websocket", "connection": "Upgrade"})),
    Attack("a language of 10,000 parts", (200,),
           lambda s: s.ask("GET", "/me", headers={"accept-language": ",".join(["zz;q=0.1"] * 5_000)})),
    Attack("an answer type of one's own", (200, 406),
           lambda s: s.ask("GET", "/me", headers={"accept": "text/html;q=9, ../../x"})),
]  # fmt: skip


def _named(scene: Scene, path: str, **body: Any) -> httpx.Response:
    """As JSON bytes, escapes and all: httpx would refuse a lone surrogate."""
    return scene.raw(path, hostile.compact(body))


def _ids_of(scene: Scene, value: str) -> list[httpx.Response]:
    from urllib.parse import quote

    name = quote(value[:2_000], safe="")
    return [
        scene.ask("GET", f"/workspaces/{name}"), scene.post(f"/workspaces/{name}/query", {"sql": "SELECT 1"}),
        scene.ask("GET", f"/exports/{name}/package"), scene.ask("GET", f"/runs/{name}"),
    ]  # fmt: skip


def _billion_laughs() -> str:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    return "\n".join(lines)


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda a: a.name)
def test_attack(scene: Scene, attack: Attack) -> None:
    answers = attack.act(scene)
    for answer in [answers] if isinstance(answers, httpx.Response) else answers:
        nothing_of_others(scene, answer, sent=sent_in(answer.request))
        assert answer.status_code in attack.expected, answer.text
        assert "x-evil" not in answer.headers
        assert "set-cookie" not in answer.headers
        assert "evil.example" not in str(answer.headers) + answer.text


def test_the_attacks_have_names_of_their_own() -> None:
    names = [a.name for a in ATTACKS]
    assert len(names) == len(set(names))
    assert len(names) + len(OUTSIDE) + len(NEIGHBOURS) > 150


# -- the portal: forms, cookies, sessions


class Browser:
    """A browser at the portal, with its cookies and the form token of the last page."""

    def __init__(self, street: Street, login: str | None = None, **cookies: str) -> None:
        self.http = httpx.Client(base_url=street.url, headers={"accept": "text/html"}, cookies=cookies, timeout=60)
        self.token = ""
        self.get("/login")
        if login:
            answer = self.post("/login", account=login, password=PASSWORD)
            assert answer.status_code == 303, answer.text
            self.get("/account")

    def get(self, path: str) -> httpx.Response:
        answer = self.http.get(path)
        if found := TOKEN.search(answer.text):
            self.token = found.group(1)
        return answer

    def post(self, path: str, **fields: str) -> httpx.Response:
        return self.http.post(path, data={"csrf_token": self.token} | fields)

    @property
    def session(self) -> str | None:
        return self.http.cookies.get("pds_session")


@pytest.fixture(scope="module")
def attacker(scene: Scene) -> Iterator[Browser]:
    browser = Browser(scene.street, "stranger")
    yield browser
    browser.http.close()


def portal_routes(method: str) -> list[APIRoute]:
    routes = [r for module in PAGES for r in module.router.routes if isinstance(r, APIRoute)]
    return [r for r in routes if method in r.methods]


def seen(answer: httpx.Response, *ids: str) -> tuple[int, str]:
    """A page without its form tokens, the ids asked for, the request's number and the places that name the page."""
    text = re.sub(r'csrf_token" value="[^"]+"|"x-csrf-token": ?"[^"]+"|content="[0-9a-f]{16}\\.[0-9a-f]{64}"', "#",
                  answer.text)  # fmt: skip
    for one in (*ids, answer.headers["x-request-id"]):
        text = text.replace(one, "#")
    return answer.status_code, text


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_pages_of_others_look_like_pages_of_nobody(scene: Scene, attacker: Browser, method: str) -> None:
    walked = 0
    for route in portal_routes(method):
        first = route.path.split("/")[1]
        theirs = {k.partition(":")[0]: v for k, v in scene.theirs.items() if k.partition(":")[2] in ("", first)}
        names = [p.name for p in route.dependant.path_params]
        owned_here = [n for n in names if n in theirs]
        if not owned_here:
            continue
        walked += 1
        for asked in owned_here:
            foreign = theirs[asked]
            ids = {n: scene.mine.get(n, theirs.get(n, "x-222222222222")) for n in names}
            answers = []
            for one in (foreign, unknown(foreign)):
                path = route.path.format(**ids | {asked: one})
                answers.append(attacker.get(path) if method == "GET" else attacker.post(path))
            for secret in scene.secrets():
                assert secret in answers[0].request.url.path or secret not in answers[0].text, (route.path, secret)
            assert answers[0].status_code in (403, 404, 422), (route.path, answers[0].status_code)
            both = [seen(answer, foreign, unknown(foreign)) for answer in answers]
            assert both[0] == both[1], route.path
    assert walked >= 5


@pytest.mark.parametrize("token", ["none", "made up", "of another session", "in the address", "in a cookie"])
def test_no_form_is_taken_without_its_own_token(scene: Scene, attacker: Browser, token: str) -> None:
    other = Browser(scene.street, "merchant")
    given = {"made up": "0" * 16 + "." + "0" * 64, "of another session": other.token}.get(token, "")
    address = f"?csrf_token={attacker.token}" if token == "in the address" else ""
    if token == "in a cookie":
        attacker.http.cookies.set("csrf_token", attacker.token)
    for route in portal_routes("POST")[:: 1 if token == "none" else 9]:
        ids = {p.name: "x-222222222222" for p in route.dependant.path_params}
        answer = attacker.http.post(route.path.format(**ids) + address, data={"csrf_token": given} if given else {})
        assert answer.status_code == 403, (route.path, answer.status_code)
    other.http.close()


@pytest.mark.parametrize("headers", [{"origin": "https://evil.example"}, {"sec-fetch-site": "cross-site"},
                                     {"sec-fetch-site": "same-site"}, {"origin": "null"}])  # fmt: skip
def test_another_site_cannot_send_a_form_even_with_the_token(
    scene: Scene, attacker: Browser, headers: dict[str, str]
) -> None:
    answer = attacker.http.post("/account/tokens", data={"csrf_token": attacker.token, "label": "x", "days": "1"},
                                headers=headers)  # fmt: skip
    assert answer.status_code == 403


def test_a_session_chosen_before_sign_in_is_worth_nothing_after_it(scene: Scene) -> None:
    chosen = "pds_chosen-by-the-attacker"
    victim = Browser(scene.street, "stranger", pds_session=chosen)
    issued = [c.value for c in victim.http.cookies.jar if c.name == "pds_session" and c.value != chosen]
    assert len(issued) == 1
    thief = Browser(scene.street, pds_session=chosen)
    assert thief.get("/account").headers["location"].startswith("/login")
    victim.http.close()
    thief.http.close()


def test_a_session_is_dead_after_sign_out_everywhere(scene: Scene) -> None:
    browser = Browser(scene.street, "stranger")
    kept = str(browser.session)
    assert browser.post("/logout").status_code == 303
    again = Browser(scene.street, pds_session=kept)
    for path in ("/account", "/workspaces", f"/workspaces/{scene.mine_house.workspace}"):
        assert again.get(path).headers["location"].startswith("/login")
    assert authorised(scene, ("authorization", f"Bearer {kept}")).status_code == 401
    browser.http.close()
    again.http.close()


def test_the_session_cookie_is_out_of_reach_of_scripts_and_other_sites(scene: Scene) -> None:
    browser = Browser(scene.street)
    answer = browser.post("/login", account="stranger", password=PASSWORD)
    cookie = next(v for k, v in answer.headers.multi_items() if k == "set-cookie" and v.startswith("pds_session="))
    assert "httponly" in cookie.lower()
    assert "samesite=strict" in cookie.lower()
    browser.http.close()


@pytest.mark.parametrize(
    "goal", ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:alert(1)",
             "/%0d%0aset-cookie:a=b", "\t//evil.example", "///evil.example", "/..//evil.example", "http:evil.example"],
)  # fmt: skip
def test_sign_in_leads_nowhere_else(scene: Scene, goal: str) -> None:
    browser = Browser(scene.street)
    answer = browser.post("/login", account="stranger", password=PASSWORD, next=goal)
    location = answer.headers["location"]
    assert location.startswith("/")
    assert not location.startswith(("//", "/\\"))
    assert "a" not in answer.cookies
    browser.http.close()


# -- moments: while something runs, and after something ended


def asking(
    pool: ThreadPoolExecutor, client: httpx.Client, workspace: str, sql: str = ENDLESS
) -> Future[httpx.Response]:
    return pool.submit(client.post, f"/workspaces/{workspace}/query", json={"sql": sql})


def runs_now(scene: Scene, workspace: str) -> bool:
    return any(w["workspace"] == workspace and w["running"] for w in scene.street.broker.status())


def test_a_neighbour_cannot_end_what_runs_and_its_owner_can(scene: Scene) -> None:
    place = scene.victim.workspace
    with ThreadPoolExecutor(1) as pool:
        running = asking(pool, scene.owner, place)
        wait_until(lambda: runs_now(scene, place))
        for method, path in (("POST", "query/cancel"), ("POST", "close"), ("GET", "query"), ("GET", "objects")):
            assert scene.ask(method, f"/workspaces/{place}/{path}").status_code == 404
        assert scene.sql("SELECT 1 AS n").status_code == 200
        assert runs_now(scene, place)
        assert scene.owner.post(f"/workspaces/{place}/query/cancel").json() == {"cancelled": True}
        ended = running.result(30)
    assert (ended.status_code, ended.json()["code"]) == (422, "query.cancelled")


def test_many_queries_at_once_give_each_its_own_answer_or_a_refusal(scene: Scene) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = [asking(pool, scene.client, scene.mine_house.workspace, f"SELECT {n} AS n") for n in range(8)]
        for number, answer in enumerate(a.result(60) for a in answers):
            assert answer.status_code in (200, 409)
            assert answer.status_code == 409 or answer.json()["rows"] == [[number]]


BOMBS = {
    "memory": "SELECT len(range(1000000000))", "text": "SELECT length(repeat('x', 4000000000))",
    "many columns": "SELECT " + ", ".join(["1"] * 20_000), "deep list": f"SELECT {'[' * 900}1{']' * 900}",
    "wide rows": "SELECT repeat('x', 40000000)",
}  # fmt: skip


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_bomb_hurts_only_its_sender(scene: Scene, bomb: str) -> None:
    answer = scene.sql(BOMBS[bomb])
    assert answer.status_code in (200, 422)
    nothing_of_others(scene, answer)
    assert scene.owner.post(f"/workspaces/{scene.victim.workspace}/query", json={"sql": "SELECT 1"}).status_code == 200
    assert scene.sql("SELECT 标记 FROM 自有").json()["rows"] == [["乙方-自有"]]


def test_a_reader_that_never_reads_or_hangs_up_holds_up_nobody(scene: Scene) -> None:
    host = urlsplit(scene.street.url)
    body = hostile.compact({"sql": "SELECT repeat('x', 2000) AS x FROM range(10000)"})
    head = (
        f"POST /api/v1/workspaces/{scene.mine_house.workspace}/query HTTP/1.1\r\nhost: x\r\n"
        f"authorization: Bearer {scene.street.token('stranger')}\r\naccept: application/x-ndjson\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    ).encode()
    with socket.create_connection((host.hostname, host.port)) as silent:
        silent.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        silent.sendall(head + body)
        wait_until(lambda: bool(silent.recv(1, socket.MSG_PEEK)))
        victim = scene.owner.post(f"/workspaces/{scene.victim.workspace}/query", json={"sql": "SELECT 1"})
        assert victim.status_code == 200
    wait_until(lambda: scene.sql("SELECT 1").status_code == 200)
    with socket.create_connection((host.hostname, host.port)) as half:
        half.sendall(head + body[:10])
    assert scene.sql("SELECT 1").status_code == 200


STANDINGS: dict[str, Callable[[Scene, House], None]] = {
    "a frozen workspace": lambda s, h: step(s, "operator", lambda u: workspaces.change(u, h.workspace, "freeze", "x")),
    "a closed workspace": lambda s, h: step(s, "stranger", lambda u: workspaces.change(u, h.workspace, "close", "")),
    "a suspended application": lambda s, h: step(
        s, "operator", lambda u: applications.stand(u, h.application, "suspend", "x")),
    "a revoked application": lambda s, h: step(
        s, "operator", lambda u: applications.stand(u, h.application, "revoke", "x")),
    "a suspended merchant": lambda s, h: step(
        s, "operator", lambda u: merchants.change_standing(u, organisation(s), "suspend", "x")),
    "an expired grant": lambda s, h: s.street.world.advance(days=361),
}  # fmt: skip
STILL_ALLOWED = {"POST /workspaces/{workspace_id}/close"}
"""a merchant may always end what it has"""


def step(scene: Scene, login: str, what: Callable[[Unit], Any]) -> None:
    with scene.street.world.by(scene.street.actor(login)) as unit:
        what(unit)


def organisation(scene: Scene) -> str:
    return scene.street.actor("stranger").organisation_id


@pytest.mark.parametrize("standing", STANDINGS)
def test_nothing_is_worked_on_any_more_after(scene: Scene, standing: str) -> None:
    """Every route of the workspace that changes or computes something refuses; reading what is kept may go on."""
    house = scene.street.build("stranger", f"乙方-{standing}")
    ids = {"workspace_id": house.workspace, "application_id": house.application, "grant_id": house.grant}
    STANDINGS[standing](scene, house)
    try:
        for found in hostile.operations(scene.street.app):
            if found.method == "GET" or "{workspace_id}" not in found.path or found.name in STILL_ALLOWED:
                continue
            others = {p: scene.theirs.get(found.subject(p), "x") for p in found.parameters}
            answer = scene.ask(found.method, found.url(others | ids), **found.options())
            assert answer.status_code in (403, 404, 409), (found.name, answer.text[:300])
            nothing_of_others(scene, answer, sent=sent_in(answer.request))
        again = scene.post("/workspaces", {"application_id": house.application})
        assert again.status_code in (403, 409)
    finally:
        if standing == "an expired grant":
            scene.street.world.advance(days=-361)
        if standing == "a suspended merchant":
            step(scene, "operator", lambda u: merchants.change_standing(u, organisation(scene), "resume", "x"))


@pytest.mark.parametrize("standing", ["a frozen workspace", "a closed workspace", "a revoked application"])
def test_what_runs_meanwhile_is_the_last_that_ran(scene: Scene, standing: str) -> None:
    house = scene.street.build("stranger", f"乙方-运行中-{standing}")
    with ThreadPoolExecutor(1) as pool:
        running = asking(pool, scene.client, house.workspace)
        wait_until(lambda: runs_now(scene, house.workspace))
        STANDINGS[standing](scene, house)
        after = scene.sql("SELECT 1", house.workspace)
        ending.stop_ended(scene.street.world.platform, scene.street.broker)  # the server does it every half second
        ended = running.result(30)
    assert after.status_code in (403, 409)
    assert ended.status_code in (403, 409, 422)
    assert scene.sql("SELECT 1", house.workspace).status_code in (403, 409)
