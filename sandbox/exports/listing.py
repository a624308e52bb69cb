"""登记与上架材料: what a data exchange asks about a released product, filled in from the signed manifest.

The names of the elements are the platform's own reading of what exchanges ask for; none of their forms was checked, so
the document says `assumed`, and what only the merchant can say (price, licence to buyers) is left open and listed.
"""

from __future__ import annotations

import hashlib
import io
from typing import Any

from policies.text import Text
from sandbox.applications import repository as applications
from sandbox.catalog import repository as catalogue
from sandbox.exports import repository, reviewing, service
from sandbox.exports.release import FORMAT, MANIFEST, PUBLIC_KEY, SIGNATURE, canonical, write_zip
from sandbox.exports.repository import ExportRequest, Release
from sandbox.kernel import accounts, permissions
from sandbox.kernel.errors import InvalidTransition
from sandbox.kernel.unit import Unit
from sandbox.products import repository as products
from sandbox.products.spec import parse

REGISTRATION, SHEET = "登记信息.json", "上架说明.md"
OPEN = ("价格与计费方式", "对买方的许可", "售后联系方式")
"""elements that the platform cannot fill"""


def package(unit: Unit, request_id: str) -> bytes:
    """A signed zip with registration data and a sheet to read; `pds release verify` checks it. For the recipient and
    for officers, while the release stands. Raises `InvalidTransition` for one that does not."""
    record = service.read(unit, request_id)
    permissions.check(unit.actor, "release:download", owner=record.organisation_id)
    made = repository.release_of(unit.session, record.id)
    if made is None or record.state != "released":
        raise InvalidTransition("listing.not_released", Text("只有已放行且未召回的产品可以登记上架",
                                                             "Only a product whose release stands can be listed"),
                                fix=Text("请查看申请状态", "Look at the request's state"), id=record.id)  # fmt: skip
    facts = registration(unit, record, made)
    files = {REGISTRATION: canonical(facts), SHEET: _sheet(facts).encode()}
    key = unit.platform.signing_key
    signed = canonical({
        "format": FORMAT, "key_id": key.key_id, "kind": "listing", "release": made.id, "package": made.sha256,
        "files": [{"name": n, "bytes": len(raw), "sha256": hashlib.sha256(raw).hexdigest()}
                  for n, raw in sorted(files.items())],
    })  # fmt: skip
    buffer = io.BytesIO()
    write_zip(buffer, files | {MANIFEST: signed, SIGNATURE: key.sign(signed), PUBLIC_KEY: key.public_pem})
    unit.audit("release:listing", "release", made.id, sha256=hashlib.sha256(buffer.getvalue()).hexdigest())
    return buffer.getvalue()


def registration(unit: Unit, record: ExportRequest, made: Release) -> dict[str, Any]:
    """What the platform can say about the product, by element."""
    run = products.get(unit.session, products.artefact(unit.session, record.artefact_id).run_id)
    used = {i.grant for i in parse(run.spec).inputs.values() if i.grant}
    grants = [g for g in applications.grants(unit.session, record.application_id) if g.id in used]
    sources = [
        {"数据资源": resource.name, "登记编号": resource.registration_code, "版本": g.version,
         "数源部门": accounts.organisation(unit.session, g.department_id).name}
        for g in grants for resource in [catalogue.get(unit.session, g.resource_id)]
    ]  # fmt: skip
    provider = accounts.organisation(unit.session, record.organisation_id)
    application = applications.get(unit.session, record.application_id)
    manifest, verdict = made.manifest, made.manifest.get("verdict", {})
    return {
        "依据": {"status": "assumed", "说明": "要素名称为本平台归纳，未核对各交易机构的原始表单"},
        "产品": {"名称": record.title, "简介": record.remark, "形态": manifest.get("form"),
               "使用范围": record.audience, "字段": manifest.get("schema"), "记录数": manifest.get("rows"),
               "标识": manifest.get("label")},
        "提供方": {"名称": provider.name, "统一社会信用代码": provider.uscc},
        "来源": sources,
        "场景": {"应用场景": application.scenario, "用途": record.context["purpose"],
               "统计人群与范围": record.context["population"], "已采取的保护措施": record.context["controls"]},
        "合规": {"核查规则版本": verdict.get("edition"), "机器核查结论": verdict.get("outcome"),
               "复核人数": len(reviewing.signers(unit, record)), "放行编号": made.id,
               "放行时间": made.released_at.isoformat(), "有效期至": made.expires_at.isoformat(),
               "放行包摘要": made.sha256},
        "待补充": list(OPEN),
    }  # fmt: skip


def _sheet(facts: dict[str, Any]) -> str:
    lines = [f"# {facts['产品']['名称']}", ""]
    for part in ("产品", "提供方", "场景", "合规"):
        lines += [f"## {part}", "", *(f"- {k}：{_plain(v)}" for k, v in facts[part].items()), ""]
    lines += ["## 来源", "", *(f"- {_plain(s)}" for s in facts["来源"]), ""]
    return "\n".join([*lines, "## 待补充", "", *(f"- {item}" for item in facts["待补充"]), ""])


def _plain(value: Any) -> str:
    """One line of text; what the merchant typed stays text and starts no heading, link or image."""
    if isinstance(value, dict):
        value = "，".join(f"{k} {v}" for k, v in value.items())
    said = " ".join(str("—" if value is None else value).split())
    return "".join("\\" + c if c in "\\\x60*_{}[]<>#!|" else c for c in said)
