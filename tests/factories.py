"""A small city whose objects stand in a given state, brought there by the services, never by raw inserts."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from itertools import count
from typing import Any

import numpy as np
from argon2 import PasswordHasher
from sqlalchemy import select

from pipelines import fieldplan
from policies import editions as shipped
from policies.verdict import Outcome, RuleRun, Verdict
from sandbox.applications import repository as application_records
from sandbox.applications import service as applications
from sandbox.catalog import deliveries, subjects, twins, versions
from sandbox.catalog import repository as catalogue
from sandbox.catalog import service as catalog
from sandbox.catalog.grades import GradedColumn
from sandbox.exports import drafting, ledger, reviewing
from sandbox.exports import repository as export_records
from sandbox.exports import service as exports
from sandbox.kernel import accounts, editions
from sandbox.kernel.audit import AuditEvent
from sandbox.kernel.clock import city_date
from sandbox.kernel.identity import Actor, OrganisationKind, Role
from sandbox.kernel.ids import new_id
from sandbox.kernel.unit import Platform, Unit
from sandbox.merchants import service as merchants
from sandbox.merchants.model import MATERIALS
from sandbox.products import repository as product_records
from sandbox.products import service as products
from sandbox.workspaces import service as workspaces
from sandbox.workspaces import tiers
from synthetic.providers import usccs

PASSWORD = "correct-horse-battery"
_numbers = count(1)
CONTEXT = {"purpose": "排班参考", "population": "全部门诊", "controls": "按区汇总并取整"}


@contextmanager
def quick_passwords() -> Iterator[None]:
    """Real argon2id with the smallest cost, so that a cast of eight takes milliseconds."""
    real = accounts._hasher
    accounts._hasher = cache(lambda: PasswordHasher(time_cost=1, memory_cost=64, parallelism=1))
    try:
        yield
    finally:
        accounts._hasher = real


def uscc(number: int) -> str:
    """A credit code of valid form in a region that does not exist."""
    return str(usccs(np.random.default_rng(number), 1)[0])


def verdict(outcome: Outcome = Outcome.PASS) -> Verdict:
    """A verdict of one rule with that outcome."""
    digest = shipped.load("export", "2026-01").digest
    return Verdict.conclude("export", "2026-01", digest, [RuleRun("EXP-CELL-01", outcome, 12, 10)], [])


def poor_report(*, repaired: bool = False) -> dict[str, Any]:
    """A quality report below the publication line in uniqueness, or the same with that repaired."""
    name, wanted = {"zh": "数据唯一性", "en": "uniqueness"}, {"zh": "“编号”齐全且不重复", "en": "“id” is unique"}
    sample = {"row": 3, "line": 5, "values": {"编号": "***"}}
    outcome, a = ("pass", 100) if repaired else ("review", 90)
    rule = {
        "kind": "unique_key", "columns": ["编号"], "indicator": "0304", "a": a, "b": 100, "failing": 100 - a,
        "rows": [], "text": wanted, "fix": {"zh": "删去重复记录", "en": "remove repeats"}, "samples": [sample],
    }  # fmt: skip
    indicator = {
        "code": "0304", "name": name, "a": a, "b": 100, "x": a / 100, "assessed": True, "direction": "high",
        "threshold": 0.99, "meets": repaired, "needs": name,
    }  # fmt: skip
    return {
        "name": "低质量", "rows": 100, "indicators": [indicator], "columns": [], "rules": [rule],
        "quarantine": [{"reason": "broken_quote", "count": 1, "lines": [7]}],
        "verdict": {
            "policy": "quality", "edition": "2026-01", "digest": "0" * 64, "outcome": outcome, "findings": [],
            "rules": [{"rule": "QUA-IND-0304", "outcome": outcome, "measured": a / 100, "threshold": 0.99}],
        },
    }  # fmt: skip



@dataclass
class World:
    """One platform with its people: who acts is an `Actor`, what they made is found by id."""

    platform: Platform
    people: dict[str, Actor] = field(default_factory=dict)

    @classmethod
    def settle(cls, platform: Platform) -> World:
        """Operator with three officers, two departments, an auditor, two registered companies; isolation is strong.

        The first department has two people: `department` and `colleague`.
        """
        world = cls(platform)
        with quick_passwords(), platform.system() as unit:
            world._staff(unit, OrganisationKind.OPERATOR, "运营机构", operator=Role.OPERATOR, officer=Role.COMPLIANCE,
                         second_officer=Role.COMPLIANCE, third_officer=Role.COMPLIANCE)  # fmt: skip
            world._staff(unit, OrganisationKind.DEPARTMENT, "示范市卫生局", department=Role.DEPARTMENT,
                         colleague=Role.DEPARTMENT)  # fmt: skip
            world._staff(unit, OrganisationKind.DEPARTMENT, "示范市交通局", other_department=Role.DEPARTMENT)
            world._staff(unit, OrganisationKind.AUTHORITY, "示范市数据局", auditor=Role.AUDITOR)
            world._staff(unit, OrganisationKind.MERCHANT, "示范数科", uscc(1), merchant=Role.MERCHANT)
            world._staff(unit, OrganisationKind.MERCHANT, "示范智算", uscc(2), stranger=Role.MERCHANT)
            tiers.record(unit, {"tier": tiers.STRONG, "attacks": []})
        return world

    def _staff(self, unit: Unit, kind: OrganisationKind, name: str, code: str | None = None, **roles: Role) -> None:
        organisation = accounts.create_organisation(unit, kind, name, code)
        for login, role in roles.items():
            account = accounts.create_account(unit, organisation, role, login, f"{name}{login}", PASSWORD)
            self.people[login] = account.actor()

    def __getattr__(self, name: str) -> Actor:
        try:
            return self.__dict__["people"][name]
        except KeyError:
            raise AttributeError(name) from None

    def by(self, actor: Actor) -> AbstractContextManager[Unit]:
        """A transaction of that person."""
        return self.platform.begin(actor)

    def system(self) -> AbstractContextManager[Unit]:
        """A transaction of the platform itself."""
        return self.platform.system()

    def workspace_rules(self, edition: str, **changes: object) -> None:
        """Put an edition of the workspace rules with other values into force from today on."""
        self.rules("workspace", edition, **changes)

    def rules(self, policy: str, edition: str, **changes: object) -> None:
        """Put an edition of `policy` with other values into force from today on; the first line of a name is meant."""
        today = city_date(self.platform.clock.now()).isoformat()
        changed = shipped.load(policy, "2026-01").full_text
        changed = changed.replace('edition: "2026-01"', f'edition: "{edition}"').replace("2026-01-01", today)
        changed = changed.replace("supersedes: null", 'supersedes: "2026-01"')
        for name, value in changes.items():
            line = next(line for line in changed.splitlines() if line.strip().startswith(f"{name}:"))
            changed = changed.replace(line, f"{line.split(':')[0]}: {value}")
        with self.by(self.officer) as unit:
            proposed = editions.propose(unit, changed)
        with self.by(self.second_officer) as unit:
            editions.activate(unit, proposed.id)

    def advance(self, **elapsed: float) -> None:
        """Let time pass (the platform's clock must be a `FixedClock`)."""
        self.platform.clock.moment += timedelta(**elapsed)  # type: ignore[attr-defined]

    def token(self, login: str) -> str:
        """An API token of that person."""
        with self.by(self.people[login]) as unit:
            return accounts.issue_token(unit, "test", 365)

    # -- catalogue

    def delivered(self, *, name: str | None = None, department: Actor | None = None) -> str:
        """A registered resource with a delivery that waits to be taken in; returns its id."""
        owner = department or self.department
        with self.by(owner) as unit:
            made = catalog.register(
                unit, name=name or f"门诊就诊{next(_numbers)}", description="门诊就诊记录", update_cycle="每月",
                entities={"person": {"column": "身份证号"}}, registration_code=f"SF-{next(_numbers):04d}",
            )  # fmt: skip
        self.deliver(made.id, owner)
        return made.id

    def deliver(self, resource_id: str, owner: Actor, mode: str = "replace") -> str:
        """A new file for the resource; returns the delivery's id."""
        content = f"区,人次\n示范区,{next(_numbers)}\n".encode()
        digest, size = deliveries.store_delivery(self.platform.settings.inbox, io.BytesIO(content), 1 << 20)
        with self.by(owner) as unit:
            return deliveries.deliver(
                unit, resource_id, file_name="门诊.csv", sha256=digest, size=size, mode=mode
            ).id  # fmt: skip

    def take_in(
        self, resource_id: str, *, columns: Mapping[str, int] | None = None, quality: Any = "pass",
        uplifts: Mapping[str, int | None] | None = None, digest: str | None = None,
        category: str = "B1", roles: Mapping[str, str] | None = None,
    ) -> int:  # fmt: skip
        """The waiting delivery becomes a version with proposed grades (`columns`: name → level); its number.

        `quality`: the outcome of its report, or the report.
        """
        report = quality if isinstance(quality, dict) else {"verdict": {"outcome": quality}}
        levels = dict(columns or {"身份证号": 3, "区": 1, "费用": 2})
        graded = [
            GradedColumn(
                n, "text", "", category, level, n == "身份证号", "organisation",
                (roles or {}).get(n, "direct" if n == "身份证号" else "none"), None, "GRD-01", [], 0, 10,
            )
            for n, level in levels.items()
        ]  # fmt: skip
        with self.system() as unit:
            waiting = catalogue.pending(unit.session, resource_id)
            assert waiting is not None, "nothing was delivered"
            kept = waiting.mode == "regrade" and catalogue.get(unit.session, resource_id).current_version
            lake_digest = (
                catalogue.version(unit.session, resource_id, kept).lake_digest if kept else f"{next(_numbers):064x}"
            )
            grading = {"edition": "2026-01", "digest": digest,
                       "uplifts": [{"rule": r, "level": n} for r, n in (uplifts or {}).items()]}  # fmt: skip
            taken = versions.TakenIn(
                file_name=waiting.file_name, file_sha256=waiting.file_sha256, lake_version=0, raw_version=0,
                quarantine_version=None, lake_digest=lake_digest, rows=99, rows_in=100, rows_loaded=99,
                rows_quarantined=1, recipe={}, accounting={}, findings=[], quality=report,
                grading=grading, columns=graded,
            )  # fmt: skip
            deliveries.begin_reading(unit, waiting.id)
            self.verified(unit, resource_id)
            number = versions.take_in(unit, waiting.id, taken).number
            fieldplan.propose(unit, resource_id, number)
            return number

    def published(self, *, name: str | None = None, department: Actor | None = None) -> str:
        """A published resource with its simulated twin on record; returns its id."""
        owner = department or self.department
        resource_id = self.delivered(name=name, department=owner)
        self.republish(resource_id, owner)
        return resource_id

    def verified(self, unit: Unit, resource_id: str, lake_version: int = 0) -> None:
        """Put on record that the rows bear out the facts as they are declared now."""
        facts = catalogue.get(unit.session, resource_id).facts
        kinds = {kind: subjects.KindCheck(99, 0, 90, [], []).as_dict() for kind in facts.entities}
        subjects.record(unit, resource_id, lake_version, subjects.Checked(facts.digest, 99, kinds, []))

    def republish(self, resource_id: str, owner: Actor) -> None:
        """Take in the waiting delivery and bring the resource (back) into the catalogue."""
        self.take_in(resource_id)
        self.publish(resource_id, owner)
        with self.system() as unit:
            twins.record(unit, resource_id, None, self.made(unit, resource_id))

    def made(self, unit: Unit, resource_id: str, *, outcome: str = "pass", lake_version: int | None = 0) -> twins.Made:
        """What a simulation of the published version would hand over, without rows or files."""
        resource = catalogue.get(unit.session, resource_id)
        public = {"engine": {"used": "schema"}, "digest": f"{next(_numbers):064x}"}
        return twins.Made(
            version=resource.current_version or 0, basis=twins.basis(unit.session, resource), parents={},
            lake_version=lake_version, asked={}, manifest=public | {"verdict": {"outcome": outcome}}, public=public,
            fields=[], distributions=[], files={},
        )  # fmt: skip

    def publish(self, resource_id: str, owner: Actor | None = None) -> None:
        """The department confirms what waits, the operator publishes it."""
        with self.by(owner or self.department) as unit:
            versions.confirm(unit, resource_id)
        with self.by(self.operator) as unit:
            versions.publish(unit, resource_id)

    # -- merchants and applications

    def applied(self, merchant: Actor | None = None) -> str:
        """A complete onboarding application, submitted; returns its id."""
        who = merchant or self.merchant
        with self.by(who) as unit:
            materials = {key: f"{key}.pdf" for key in MATERIALS}
            made = merchants.apply(unit, contact="经办人", business="城市健康指数", materials=materials)
            merchants.submit(unit, made.id)
        return made.id

    def admitted(self, merchant: Actor | None = None) -> str:
        """An admitted merchant; returns the onboarding's id."""
        onboarding_id = self.applied(merchant)
        with self.by(self.operator) as unit:
            merchants.decide(unit, onboarding_id, "admit", "")
        return onboarding_id

    def drafted(self, *resources: str, merchant: Actor | None = None, scenario: str = "门诊负荷分析") -> str:
        """A draft application of an admitted merchant for those resources (one is published when none is named)."""
        who = merchant or self.merchant
        with self.system() as unit:
            known = unit.session.get(merchants.Merchant, who.organisation_id) is not None
        if not known:
            self.admitted(who)
        wanted = resources or (self.published(),)
        with self.by(who) as unit:
            made = applications.draft(
                unit, scenario=scenario, purpose="排班参考", product_form="aggregate", audience="public",
                term_months=12, requested={r: {"区": "统计维度", "费用": "指标"} for r in wanted},
            )  # fmt: skip
        return made.id

    def application(self, state: str, *resources: str, merchant: Actor | None = None) -> str:
        """An application in `state`: draft, checking, approving, approved, agreement_signed or active; its id."""
        who = merchant or self.merchant
        application_id = self.drafted(*resources, merchant=who)
        for reached in ("draft", "checking", "approving", "approved", "agreement_signed", "active"):
            self._towards(reached, application_id, who)
            if reached == state:
                return application_id
        raise ValueError(state)

    def _towards(self, state: str, application_id: str, who: Actor) -> None:
        if state == "checking":
            with self.by(who) as unit:
                applications.submit(unit, application_id)
        elif state == "approving":
            with self.by(self.operator) as unit:
                applications.check(unit, application_id, "pass")
        elif state == "approved":
            for approval_id, department in self.approvals(application_id).items():
                with self.by(department) as unit:
                    applications.decide(unit, approval_id, "approve")
        elif state == "agreement_signed":
            with self.by(who) as unit:
                applications.sign(unit, application_id)
        elif state == "active":
            self.activate(application_id)

    def approvals(self, application_id: str) -> dict[str, Actor]:
        """Approval id → the department that decides, for the present round."""
        actors = {a.organisation_id: a for a in reversed(self.people.values())}  # the first of each
        with self.system() as unit:
            record = application_records.get(unit.session, application_id)
            found = application_records.approvals(unit.session, application_id, record.round)
        return {a.id: actors[a.organisation_id] for a in found}

    def activate(self, application_id: str) -> None:
        """The grants take effect, with snapshots named by digest only."""
        with self.system() as unit:
            grants = application_records.grants(unit.session, application_id)
            manifests = {
                g.id: {b: {"digest": new_id(b), "columns": [], "rows": 1} for b in ("real", "twin")} for g in grants
            }
            applications.activate(unit, application_id, manifests)

    def grants(self, application_id: str) -> list[str]:
        with self.system() as unit:
            return [g.id for g in application_records.grants(unit.session, application_id)]

    # -- workspaces, products, exports

    def workspace(self, application_id: str | None = None, *, merchant: Actor | None = None) -> str:
        """An open workspace of an active application; returns its id."""
        who = merchant or self.merchant
        wanted = application_id or self.application("active", merchant=who)
        with self.by(who) as unit:
            return workspaces.open_workspace(unit, wanted).id

    def spec(self, grant_id: str) -> dict[str, Any]:
        return {
            "job": f"visits-{next(_numbers)}", "edition": 1, "inputs": {"visit": {"grant": grant_id}},
            "from": "visit", "dimensions": ["区"], "measures": {"人次": {"op": "count"}},
            "output": {"kind": "aggregate", "format": "csv"},
        }  # fmt: skip

    def requested_run(self, workspace_id: str | None = None) -> str:
        """A run that waits for its job; returns its id."""
        place = workspace_id or self.workspace()
        with self.by(self.merchant) as unit:
            workspace = workspaces.read(unit, place)
            grant_id = application_records.grants(unit.session, workspace.application_id)[0].id
            return products.start_run(unit, place, self.spec(grant_id)).id

    def artefact(self, workspace_id: str | None = None) -> str:
        """A finished run's artefact with its bytes in the store; returns its id."""
        run_id = self.requested_run(workspace_id)
        content = f"区,人次\n示范区,{10 * next(_numbers)}\n".encode()
        digest = hashlib.sha256(content).hexdigest()
        root = self.platform.settings.artefacts_root
        root.mkdir(parents=True, exist_ok=True)
        (root / digest).write_bytes(content)
        with self.system() as unit:
            made = product_records.Artefact(
                id=new_id("art"), organisation_id=self.merchant.organisation_id, run_id=run_id, name="visits.csv",
                sha256=digest, bytes=len(content), rows=1, columns=["区", "人次"], lineage={}, created_at=unit.now,
            )  # fmt: skip
            products.succeed(unit, run_id, {"rows": 1}, {"state": "done", "rows_bucket": "1-10"}, made)
        return made.id

    def export(self, state: str, *, outcome: Outcome = Outcome.PASS) -> str:
        """An export request in `state`; `outcome` is what the machine checks said."""
        artefact_id = self.artefact()
        with self.by(self.merchant) as unit:
            made = drafting.draft(
                unit, artefact_id=artefact_id, title="门诊量", remark="按区", audience="public", context=CONTEXT
            )
        for reached in ("draft", "frozen", "checking", "concluded", "second_review", "approved", "released"):
            self._export_towards(reached, made.id, outcome)
            if self.export_state(made.id) == state:
                return made.id
        raise ValueError(state)

    def _export_towards(self, step: str, request_id: str, outcome: Outcome) -> None:
        if step == "frozen":
            with self.by(self.merchant) as unit:
                exports.submit(unit, request_id)
        elif step == "checking":
            with self.system() as unit:
                exports.begin_check(unit, request_id)
        elif step == "concluded":
            with self.system() as unit:
                exports.conclude_check(unit, request_id, verdict(outcome))
        elif step in ("second_review", "approved"):
            with self.by(self.officer if step == "second_review" else self.second_officer) as unit:
                reviewing.review(unit, request_id, "approve", "数值稳妥")
        elif step == "released":
            self.release(request_id)

    def release(self, request_id: str, *, limit: int = 3, days: int = 30, last: Verdict | None = None) -> str:
        """Record a released package after the last check's verdict; returns the release's id."""
        content = f"package of {request_id}".encode()
        digest = hashlib.sha256(content).hexdigest()
        root = self.platform.settings.releases_root
        root.mkdir(parents=True, exist_ok=True)
        (root / digest).write_bytes(content)
        with self.system() as unit:
            record = export_records.get(unit.session, request_id)
            made = export_records.Release(
                id=new_id("rel"), request_id=request_id, application_id=record.application_id,
                organisation_id=record.organisation_id, audience=record.audience, sha256=digest, bytes=len(content),
                manifest={"rows": 1}, released_at=unit.now, expires_at=unit.now + timedelta(days=days), downloads=0,
                download_limit=limit,
            )  # fmt: skip
            entry = ledger.Entry(made.id, (), frozenset(), "", unit.now)
            exports.release(unit, request_id, made, entry, last or verdict())
        return made.id

    def export_state(self, request_id: str) -> str:
        with self.system() as unit:
            return export_records.get(unit.session, request_id).state

    def events(self, event: str) -> list[AuditEvent]:
        """Audit events of that name, oldest first."""
        statement = select(AuditEvent).where(AuditEvent.event == event).order_by(AuditEvent.seq)
        with self.system() as unit:
            return list(unit.session.scalars(statement))
