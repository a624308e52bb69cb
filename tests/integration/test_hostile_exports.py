"""A hostile merchant tries ways out through the export gate; an officer or the auditor sees each of them.

The API, the database and the rules are real; the machine's verdict is that of the real rules on the product each way
makes (the derivation from the source has tests of its own).
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from api.app import create_app
from policies.verdict import Outcome, Verdict
from sandbox.exports import ledger, marks, service, tracing
from sandbox.exports import release as packaging
from sandbox.exports import repository as records
from sandbox.exports.gate import evaluate
from sandbox.exports.review import Stakes
from sandbox.exports.subject import ExportFile, ExportSubject
from sandbox.kernel.clock import FixedClock
from sandbox.kernel.settings import Settings
from sandbox.kernel.unit import Platform
from sandbox.products import repository as products
from sandbox.workspaces.broker import Broker
from sandbox.workspaces.limits import Limits
from sandbox.workspaces.selftest import SelfTest
from tests.conftest import MONDAY
from tests.export_subjects import clean, edition, subject_with
from tests.factories import CONTEXT, World, verdict

PHONE = "15400001234"
HIGH = Stakes("aggregate", 4, False, 10.0)


@dataclass
class Gate:
    """The JSON API on a city with people who hold tokens."""

    world: World
    client: TestClient
    tokens: dict[str, str] = field(default_factory=dict)

    def ask(self, who: str, method: str, path: str, body: Any = None) -> Any:
        if who not in self.tokens:
            self.tokens[who] = self.world.token(who)
        headers = {"Authorization": f"Bearer {self.tokens[who]}"}
        return self.client.request(method, f"/api/v1{path}", json=body, headers=headers)

    def submitted(self, **words: str) -> str:
        """A request of the merchant, drafted and submitted by API; its id."""
        body = {"artefact_id": self.world.artefact(), "title": "门诊量", "remark": "", "audience": "public",
                "context": CONTEXT} | words  # fmt: skip
        made = self.ask("merchant", "POST", "/exports", body)
        assert made.status_code == 201, made.text
        assert self.ask("merchant", "POST", f"/exports/{made.json()['id']}/submit").status_code == 200
        return str(made.json()["id"])

    def judged(self, request_id: str, said: Verdict) -> None:
        """What the job of the machine checks does with a verdict."""
        with self.world.system() as unit:
            service.begin_check(unit, request_id)
            service.conclude_check(unit, request_id, said, stakes=HIGH)

    def reviewing(self) -> str:
        request_id = self.submitted()
        self.judged(request_id, verdict())
        return request_id

    def approved(self) -> str:
        request_id = self.reviewing()
        for who in ("officer", "second_officer"):
            self.opinion(who, request_id, "approve")
        return request_id

    def opinion(self, who: str, request_id: str, decision: str) -> Any:
        return self.ask(who, "POST", f"/exports/{request_id}/review", {"decision": decision, "reason": "理由"})

    def state(self, request_id: str) -> str:
        return self.world.export_state(request_id)

    def bytes_of(self, request_id: str) -> Path:
        with self.world.system() as unit:
            record = records.get(unit.session, request_id)
            return service.artefact_path(unit, products.artefact(unit.session, record.artefact_id).sha256)

    def refusals(self, code: str) -> int:
        """How often the auditor reads of such a refusal in the log."""
        events = self.ask("auditor", "GET", "/audit/events?limit=500").json()
        return sum(e["event"] == "access:refused" and e["facts"].get("code") == code for e in events)


@pytest.fixture
def gate(sqlite_template: Path, tmp_path: Path) -> Iterator[Gate]:
    shutil.copy(sqlite_template, tmp_path / "metadata.sqlite")
    world = World.settle(Platform(Settings(home=tmp_path), FixedClock(MONDAY)))
    limits = Limits(memory_mb=256, cpu_seconds=5, wall_seconds=5, processes=16, file_mb=16, result_rows=100,
                    result_mb=8, threads=1)  # fmt: skip
    broker = Broker(SelfTest("weak", "none", (), 0.0), limits, capacity_mb=512)
    app = create_app(world.platform, broker, lambda: {"portal": "up"})
    yield Gate(world, TestClient(app, raise_server_exceptions=False))
    broker.close()
    world.platform.database.dispose()


# -- what the machine finds, and the officer reads with values where the merchant reads without


def few() -> ExportSubject:
    return subject_with([("东区", [100.0 + i for i in range(20)]), ("西区", [100.0, 101.0, 102.0])])


def one_firm() -> ExportSubject:
    return subject_with([("东区", [100.0 + i for i in range(20)]), ("西区", [99_000.0, *[1.0] * 19])])


def covert() -> ExportSubject:
    """The low digits of a figure carry something else than the platform computed."""
    made = clean()
    content = made.files[0].content
    return replace(made, files=(ExportFile(made.files[0].name, content.replace(b",20,", b",21,", 1)),))


@pytest.mark.parametrize(("way", "rule"), [
    (lambda: clean(texts={"title": "门诊量", "remark": f"请致电{PHONE}"}), "EXP-PII-01"),
    (few, "EXP-CELL-01"),
    (one_firm, "EXP-DOM-01"),
    (covert, "EXP-ROUND-01"),
], ids=["a phone number in the remark", "a cell of three", "one firm gives all", "other figures"])  # fmt: skip
def test_what_the_machine_stops_the_officer_sees_and_the_merchant_cannot_pass(
    gate: Gate, way: Callable[[], ExportSubject], rule: str
) -> None:
    request_id = gate.submitted()
    said = evaluate(way(), edition())
    assert said.outcome is Outcome.BLOCK
    gate.judged(request_id, said)
    officer, merchant = (gate.ask(who, "GET", f"/exports/{request_id}").json() for who in ("officer", "merchant"))
    assert rule in {f["rule"] for f in officer["verdict"]["findings"] if f["severity"] == "block"}
    assert any(f["measured"] is not None for f in officer["verdict"]["findings"] if f["rule"] == rule)
    assert all(f["measured"] is None and f["threshold"] is None for f in merchant["verdict"]["findings"])
    assert gate.opinion("officer", request_id, "approve").status_code == 409, "nobody overrides a block"
    assert gate.ask("merchant", "GET", f"/exports/{request_id}/package").status_code == 409
    assert gate.state(request_id) == "blocked"


# -- what the state machine, the permissions and the release stop


def test_bytes_exchanged_after_the_freeze_are_seen_by_the_first_officer_and_by_the_release(gate: Gate) -> None:
    request_id = gate.reviewing()
    gate.bytes_of(request_id).write_bytes("区,人次\n示范区,1\n".encode())
    answer = gate.opinion("officer", request_id, "approve")
    assert (answer.status_code, answer.json()["code"]) == (409, "export.bytes_changed")
    assert gate.refusals("export.bytes_changed") == 1
    late = gate.approved()
    gate.bytes_of(late).write_bytes("区,人次\n示范区,1\n".encode())
    with pytest.raises(Exception, match="bytes_changed"):
        gate.world.release(late)
    assert gate.state(late) == "approved" and gate.refusals("export.bytes_changed") == 2


def test_the_merchant_cannot_review_call_a_third_look_or_plant(gate: Gate) -> None:
    request_id = gate.reviewing()
    tries = [("review", {"decision": "approve", "reason": "x"}), ("third", {"reason": "x"}), ("look", {"reason": "x"}),
             ("early-return", {"reason": "x"}), ("votes", {"artefact_id": "x", "vote": "approve"})]  # fmt: skip
    for path, body in tries:
        assert gate.ask("merchant", "POST", f"/exports/{request_id}/{path}", body).status_code == 403, path
    assert gate.ask("merchant", "GET", "/export-queue").status_code == 403
    assert gate.ask("merchant", "GET", "/canaries").status_code == 403
    assert gate.refusals("permission.denied") == len(tries) + 2
    assert gate.state(request_id) == "in_review"


def test_words_changed_in_mid_review_need_a_new_round_without_opinions(gate: Gate) -> None:
    request_id = gate.reviewing()
    gate.opinion("officer", request_id, "approve")
    changed = {"title": f"门诊量 {PHONE}"}
    assert gate.ask("merchant", "POST", f"/exports/{request_id}/revise", changed).status_code == 409
    early = gate.ask("second_officer", "POST", f"/exports/{request_id}/early-return", {"reason": "补充"})
    assert early.json()["state"] == "returned"
    assert gate.ask("merchant", "POST", f"/exports/{request_id}/revise", changed).status_code == 200
    assert gate.ask("merchant", "POST", f"/exports/{request_id}/submit").status_code == 200
    gate.judged(request_id, verdict())
    review = gate.ask("officer", "GET", f"/exports/{request_id}/review").json()
    assert (review["given"], review["needed"]) == (0, 2) and review["votes"] == {}
    assert [o["round"] for o in review["opinions"]] == [1, 1], "what was thought of the first round stays readable"


def test_the_merchant_learns_nothing_of_who_thinks_what(gate: Gate) -> None:
    request_id = gate.reviewing()
    remark = {"text": "内部：第 3 行可疑", "audience": "officers"}
    gate.ask("officer", "POST", f"/exports/{request_id}/comments", remark)
    gate.opinion("officer", request_id, "approve")
    gate.opinion("second_officer", request_id, "reject")
    seen = gate.ask("merchant", "GET", f"/exports/{request_id}/review").json()
    assert seen["opinions"] == seen["comments"] == seen["reasons"] == []
    officer = gate.ask("third_officer", "GET", f"/exports/{request_id}/review").json()
    assert len(officer["opinions"]) == 2 and officer["comments"][0]["text"] == remark["text"]


def test_a_request_without_its_context_is_not_accepted(gate: Gate) -> None:
    body = {"artefact_id": gate.world.artefact(), "title": "门诊量", "audience": "public"}
    for context in (None, CONTEXT | {"controls": "  "}):
        answer = gate.ask("merchant", "POST", "/exports", body | ({"context": context} if context else {}))
        assert answer.status_code == 422


def test_a_stranger_and_a_rival_get_nothing_of_a_request(gate: Gate) -> None:
    request_id = gate.reviewing()
    for path in ("", "/review", "/package", "/listing"):
        assert gate.ask("stranger", "GET", f"/exports/{request_id}{path}").status_code == 404, path
    answer = gate.ask("stranger", "POST", f"/exports/{request_id}/comments", {"text": "x", "audience": "author"})
    assert answer.status_code == 404


def test_silence_is_no_consent_and_withdrawing_ends_it(gate: Gate) -> None:
    request_id = gate.reviewing()
    gate.world.advance(days=120)
    from pipelines import upkeep

    upkeep.run(gate.world.platform)
    assert gate.state(request_id) == "in_review"
    assert gate.ask("merchant", "POST", f"/exports/{request_id}/withdraw").status_code == 200
    assert gate.opinion("officer", request_id, "approve").status_code == 409


def test_downloads_end_at_the_limit_at_the_recall_and_with_suspension(gate: Gate) -> None:
    request_id = gate.world.export("released")
    fetched = [gate.ask("merchant", "GET", f"/exports/{request_id}/package").status_code for _ in range(4)]
    assert fetched == [200, 200, 200, 413]
    assert [e.facts["count"] for e in gate.world.events("release:download")] == [1, 2, 3], "each is on record"
    asked = gate.ask("department", "POST", f"/exports/{request_id}/recall-requests", {"reason": "数据有误"}).json()
    decided = gate.ask("officer", "POST", f"/recall-requests/{asked['id']}/decision",
                       {"decision": "grant", "reason": "属实"})  # fmt: skip
    assert decided.json()["state"] == "granted"
    assert gate.ask("merchant", "GET", f"/exports/{request_id}/package").status_code == 409
    assert [n["kind"] for n in gate.ask("merchant", "GET", "/release-notices").json()] == ["recalled"]
    assert gate.client.get("/api/v1/recalls").json()[0]["title"] == "门诊量"


def test_a_leaked_copy_without_some_columns_names_its_recipient(gate: Gate) -> None:
    """The copy is cut and sorted; the officer traces it by the platform's secret."""
    rows = "".join(f"第{n}区,{n * 5},{n * 3}.5\n" for n in range(1, 60)).encode()
    two = [_released(gate.world, "区,人次,均值\n".encode() + rows) for _ in range(2)]
    for request_id, content in two:
        lines = content.decode().splitlines()[1:]
        copy = "人次\n" + "\n".join(sorted(line.split(",")[1] for line in lines))
        with gate.world.by(gate.world.officer) as unit:
            found = tracing.trace(unit, copy.encode())
        assert [m["request"] for m in found if m["certain"]] == [request_id]
    with pytest.raises(Exception, match="permission"), gate.world.by(gate.world.merchant) as unit:
        tracing.trace(unit, b"x")


def _released(world: World, content: bytes) -> tuple[str, bytes]:
    """A release whose package holds `content` with the mark of its recipient; its request and the marked bytes."""
    request_id = world.export("approved")
    with world.system() as unit:
        record = records.get(unit.session, request_id)
        name = f"rel-{request_id}"
        key = marks.key_of(tracing.marks_secret(unit.settings), name, record.organisation_id)
        made = marks.marked("a.csv", content, key)
        facts = packaging.ReleaseFacts(
            release=name, request=request_id, form="aggregate", audience="public", rows=1, schema={}, lineage={},
            verdict={}, signers=(), reviewed={}, recipient=record.organisation_id,
            recipient_mark=marks.name_of(key), issued_at="", expires_at="", title="t", description="",
        )  # fmt: skip
        packed = packaging.package(facts, [ExportFile("a.csv", made)], unit.platform.signing_key)
        digest = hashlib.sha256(packed).hexdigest()
        unit.settings.releases_root.mkdir(parents=True, exist_ok=True)
        (unit.settings.releases_root / digest).write_bytes(packed)
        row = records.Release(
            id=name, request_id=request_id, application_id=record.application_id,
            organisation_id=record.organisation_id, audience="public", sha256=digest, bytes=len(packed),
            manifest={"rows": 1}, released_at=unit.now, expires_at=unit.now, downloads=0, download_limit=1,
        )  # fmt: skip
        service.release(unit, request_id, row, ledger.Entry(name, (), frozenset(), "", unit.now), verdict())
    return request_id, made
