"""A hostile merchant's tools: every route of the API with a body it accepts, and the ids that belong to others."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import sqlalchemy as sa
from fastapi import FastAPI

from tests.neighbours import House, Street

METHODS = ("get", "post", "put", "patch", "delete")
PUBLIC = {"resource_id", "format", "month"}
"""path parameters that name what every merchant may know"""
NAMES = {"name"}
"""path parameters that are names inside the attacker's own workspace: a neighbour's name means nothing there"""
CLOSED = {"job_id", "delivery_id", "slip_id", "lowering_id", "edition_id", "organisation_id",
          "recall_id"}
"""path parameters of routes that no merchant's role may touch"""


@dataclass(frozen=True)
class Operation:
    """One operation of the API as its description gives it."""

    method: str
    path: str
    spec: Mapping[str, Any]
    components: Mapping[str, Any]

    @property
    def name(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def parameters(self) -> list[str]:
        return [p["name"] for p in self.spec.get("parameters", ()) if p["in"] == "path"]

    def subject(self, parameter: str) -> str:
        """Whose id a parameter is: one name is used for two things, told apart by where the path begins."""
        return f"{parameter}:{self.path.split('/')[1]}" if parameter in ("run_id", "request_id") else parameter

    def url(self, ids: Mapping[str, str]) -> str:
        path = self.path
        for name in self.parameters:
            path = path.replace("{" + name + "}", ids[name])
        return path

    def own_step(self) -> dict[str, str]:
        """The decision that is a merchant's, where a route takes several roles' decisions."""
        return {"decision": "withdraw"} if self.path == "/quota-requests/{request_id}/decision" else {}

    def options(self) -> dict[str, Any]:
        """Query, body and file as the description's examples give them."""
        query = {
            p["name"]: example(p["schema"], self.components)
            for p in self.spec.get("parameters", ()) if p["in"] == "query" and p.get("required")
        }  # fmt: skip
        found: dict[str, Any] = {"params": query} if query else {}
        content = self.spec.get("requestBody", {}).get("content", {})
        if "application/json" in content:
            found["json"] = example(content["application/json"]["schema"], self.components) | self.own_step()
        elif "multipart/form-data" in content:
            fields = example(content["multipart/form-data"]["schema"], self.components)
            # every box is ticked, as a person must
            fields = {k: "true" if v is False else v for k, v in fields.items() if k != "file"}
            found |= {"files": {"file": ("x.csv", b"a,b\n1,2\n")}, "data": fields}
        elif content:
            found |= {"content": b"a,b\n1,2\n", "headers": {"content-type": next(iter(content))}}
        return found


def operations(app: FastAPI) -> list[Operation]:
    """Every operation of the API, from its own description: a new route is found by being there."""
    document = app.openapi()
    return [
        Operation(method.upper(), path.removeprefix("/api/v1"), spec, document["components"]["schemas"])
        for path, item in document["paths"].items() for method, spec in item.items() if method in METHODS
    ]  # fmt: skip


def example(schema: Mapping[str, Any], components: Mapping[str, Any]) -> Any:
    """A value that the schema takes: its first example, else the smallest there is."""
    if "$ref" in schema:
        return example(components[schema["$ref"].rsplit("/", 1)[1]], components)
    if schema.get("examples"):
        return schema["examples"][0]
    for choice in ("anyOf", "oneOf", "allOf"):
        if choice in schema:
            return example(schema[choice][0], components)
    if "enum" in schema or "const" in schema:
        return schema.get("const", schema.get("enum", [None])[0])
    kind = schema.get("type")
    if kind == "object":
        properties = schema.get("properties", {})
        return {name: example(properties[name], components) for name in schema.get("required", ())}
    if kind == "array":
        return []
    smallest = {"integer": schema.get("minimum", 1), "number": 1, "boolean": False}
    return smallest.get(str(kind), "x" * max(1, schema.get("minLength", 1)))


@contextmanager
def statements(street: Street) -> Iterator[list[str]]:
    """The database statements while the block runs: what a stop-watch would measure, without its noise."""
    engine, seen = street.world.platform.database.engine, []

    def note(_c: Any, _cursor: Any, text: str, *_rest: Any) -> None:
        seen.append(" ".join(text.split()))

    sa.event.listen(engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        sa.event.remove(engine, "before_cursor_execute", note)


def bare(answer: httpx.Response, *ids: str) -> tuple[int, str, dict[str, str]]:
    """An answer without what differs by nature: the ids that were asked for, and the request's number."""
    text = re.sub(r'"milliseconds":\d+', '"milliseconds":0', answer.text)
    for one in (*ids, answer.headers["x-request-id"]):
        text = text.replace(one, "#")
    headers = {k: v for k, v in answer.headers.items() if k not in ("date", "x-request-id", "content-length")}
    return answer.status_code, text, headers


@dataclass
class Scene:
    """The attacker is `stranger`; the victim and the victim's other application belong to `merchant`.

    `theirs` and `mine`: path parameter → id of the victim's, of the attacker's.
    """

    street: Street
    victim: House
    sibling: House
    mine_house: House
    theirs: dict[str, str]
    mine: dict[str, str]
    client: httpx.Client
    owner: httpx.Client

    def ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        return self.client.request(method, path, **options)

    def post(self, path: str, body: Any = None, **options: Any) -> httpx.Response:
        return self.client.post(path, json=body, **options)

    def sql(self, text: str, workspace: str | None = None, **more: Any) -> httpx.Response:
        """A statement in the attacker's own workspace, or in the one named."""
        return self.post(f"/workspaces/{workspace or self.mine_house.workspace}/query", {"sql": text, **more})

    def raw(self, path: str, content: bytes, kind: str = "application/json", **headers: str) -> httpx.Response:
        return self.client.post(path, content=content, headers={"content-type": kind, **headers})

    def secrets(self) -> list[str]:
        """What must never be in an answer to the attacker."""
        return [self.victim.mark, self.sibling.mark, self.victim.application, self.sibling.application,
                self.victim.grant, self.sibling.grant, self.sibling.workspace]  # fmt: skip


def unknown(like: str) -> str:
    """An id of the same form that nobody has."""
    head, _, tail = like.rpartition("-")
    return f"{head}-{'2' * len(tail)}" if head else "z" * len(like)


def nested(depth: int) -> bytes:
    return b'{"sql": ' + b"[" * depth + b"]" * depth + b"}"


def compact(value: Any) -> bytes:
    return json.dumps(value).encode()


def wait_until(condition: Callable[[], bool], seconds: float = 15.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


def work_of(owner: httpx.Client, house: House) -> dict[str, str]:
    """A saved query, a script, a run, the file it wrote, a request for more, a table brought in and a self-check, by
    HTTP."""
    place = f"/workspaces/{house.workspace}"
    script = {"name": house.mark, "source": f"open('结果-{house.mark}.txt', 'w').write('{house.mark}')"}
    wish = {"measure": "cpu", "wanted": 480, "reason": house.mark}
    words = dict.fromkeys(("source", "basis", "licence", "contact", "period"), house.mark)
    declared = words | {"name": "自带", "personal": "false", "statement": "true"}
    table = {"file": ("a.csv", b"a,b\n1,2\n")}
    spec = {
        "job": house.mark, "edition": 1, "inputs": {"t": {"grant": house.grant}}, "from": "t", "dimensions": ["区"],
        "measures": {"行": {"op": "count"}}, "output": {"kind": "aggregate", "format": "csv"},
    }  # fmt: skip
    run_id = made(owner.post(f"{place}/scripts/run", json=script))["id"]
    wait_until(lambda: made(owner.get(f"/script-runs/{run_id}"))["outcome"] is not None)
    return {
        "query_id": made(owner.post(f"{place}/queries", json={"name": house.mark, "sql": "SELECT 1"}))["id"],
        "script_id": made(owner.post(f"{place}/scripts", json=script))["id"], "run_id:script-runs": run_id,
        "file_id": next(f["id"] for f in made(owner.get(f"{place}/files"))["files"] if "结果" in f["path"]),
        "request_id:quota-requests": made(owner.post(f"{place}/quota-requests", json=wish))["id"],
        "upload_id": made(owner.post(f"{place}/uploads", data=declared, files=table))["id"],
        "check_id": made(owner.post(f"{place}/job-checks", json={"spec": spec}))["id"],
    }  # fmt: skip


def made(answer: httpx.Response) -> Any:
    assert answer.status_code < 300, answer.text
    return answer.json()
