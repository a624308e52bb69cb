"""回流: a published twin as a package for the government's sharing catalogue, described in the catalogue's own words.

The names of the metadata's elements follow the core metadata of 政务信息资源目录编制指南（试行）as a published template
lists them; the text of the guide itself was not checked, so the document says `assumed`. What only the department or
the catalogue's keeper can say (classification, sharing and opening attributes) is left open and listed.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from policies.text import Text
from sandbox.catalog import browsing, repository, twins
from sandbox.catalog.browsing import MARK, TwinFile
from sandbox.catalog.repository import Resource
from sandbox.catalog.twins import Twin
from sandbox.exports.release import (
    FORMAT,
    MANIFEST,
    PUBLIC_KEY,
    SIGNATURE,
    canonical,
    write_zip,
)
from sandbox.kernel import accounts, permissions
from sandbox.kernel.errors import InvalidTransition, NotFound
from sandbox.kernel.unit import Unit

METADATA, SUMS = "目录元数据.json", "SHA256SUMS"
CARRIED = {"csv": "csv", "parquet": "parquet", "manifest": "manifest.json"}
"""formats that go along → ending of the file's name"""
OPEN = ("信息资源分类", "共享属性", "开放属性")
"""elements that the platform cannot fill"""


@dataclass(frozen=True, slots=True)
class Package:
    """A package on disk, under its digest."""

    path: Path
    name: str
    sha256: str


def package(unit: Unit, resource_id: str, number: int | None = None) -> Package:
    """Data, metadata, manifest and checksums in one signed zip, which `pds release verify` checks; on record.

    The same twin gives the same bytes. Raises `InvalidTransition` for a stale twin, which would tell the other
    departments about data that is no longer so, and `NotFound` for one without files.
    """
    permissions.check(unit.actor, "simulated:share")
    resource = repository.get(unit.session, resource_id)
    twin = twins.chosen(unit.session, resource, number)
    if resource.state != "published" or twins.stale(unit.session, resource, twin):
        raise InvalidTransition(
            "simulated.stale", Text("这一版仿真数据已过期，不能回流", "This twin is stale and cannot be fed back"),
            fix=Text("请先重新生成仿真数据", "Make the simulated data again first"), id=resource.id,
        )  # fmt: skip
    files = {one.format: one for one in browsing.downloads(unit, resource, twin)}
    if missing := [k for k in CARRIED if k not in files or not files[k].path.exists()]:
        raise NotFound(
            "simulated.no_file", Text("这一版仿真数据没有可回流的文件", "This twin has no files to feed back"),
            fix=Text("请重新生成仿真数据", "Make the simulated data again"), formats=missing,
        )  # fmt: skip
    stem = browsing.file_stem(resource, twin)
    made = _write(unit, resource, twin, {f"{stem}.{end}": files[key] for key, end in CARRIED.items()})
    unit.audit("simulated:share", "resource", resource.id, twin=twin.number, sha256=made.name)
    return Package(made, f"{stem}_回流.zip", made.name)


def _write(unit: Unit, resource: Resource, twin: Twin, carried: dict[str, TwinFile]) -> Path:
    key = unit.platform.signing_key
    described = canonical(metadata(unit, resource, twin, carried))
    sums = {name: one.sha256 for name, one in carried.items()} | {METADATA: hashlib.sha256(described).hexdigest()}
    listing = "".join(f"{digest}  {name}\n" for name, digest in sorted(sums.items())).encode()
    sizes = {name: one.bytes for name, one in carried.items()} | {METADATA: len(described), SUMS: len(listing)}
    sums[SUMS] = hashlib.sha256(listing).hexdigest()
    signed = canonical({
        "format": FORMAT, "key_id": key.key_id, "label": MARK, "title": resource.name, "twin": twin.number,
        "imitates": {"resource": resource.id, "version": twin.version}, "content_sha256": twin.content_sha256,
        "files": [{"name": n, "bytes": sizes[n], "sha256": sums[n]} for n in sorted(sums)],
    })  # fmt: skip
    members: dict[str, bytes | Path] = {name: one.path for name, one in carried.items()}
    members |= {METADATA: described, SUMS: listing, MANIFEST: signed, SIGNATURE: key.sign(signed),
                PUBLIC_KEY: key.public_pem}  # fmt: skip
    store = unit.settings.twin_files
    with TemporaryDirectory(dir=store, prefix=".package-") as folder:
        path = Path(folder) / "package.zip"
        with path.open("w+b") as part:
            write_zip(part, members)
            part.seek(0)
            digest = hashlib.file_digest(part, "sha256").hexdigest()
        return path.replace(store / digest)


def metadata(unit: Unit, resource: Resource, twin: Twin, carried: dict[str, TwinFile]) -> dict[str, Any]:
    """The catalogue entry of the twin."""
    department = accounts.organisation(unit.session, resource.organisation_id)
    items = [
        {"信息项名称": f["name"], "数据类型": f["type"], "说明": f["comment"], "取值": f["codes"]} for f in twin.fields
    ]
    return {
        "依据": {"名称": "政务信息资源目录编制指南（试行）", "status": "assumed",
                 "说明": "元素名称按公开的目录模板整理，未核对原文；待补充各项由数源部门或目录管理机构填写"},
        "核心元数据": {
            **dict.fromkeys(OPEN), "信息资源名称": f"{resource.name}（{MARK}）", "信息资源代码": None,
            "信息资源提供方": department.name, "信息资源提供方代码": department.uscc,
            "信息资源摘要": f"{MARK}，非真实记录。{resource.description}", "信息资源格式": "、".join(sorted(carried)),
            "信息项信息": items, "更新周期": resource.update_cycle, "发布日期": twin.created_at.date().isoformat(),
            "关联资源代码": resource.registration_code,
        },
        "待补充": [*OPEN, "信息资源代码"],
        "仿真说明": {
            "标识": MARK, "模拟的资源": resource.id, "模拟的版本": twin.version, "仿真版本": twin.number,
            "行数": twin.rows, "引擎": twin.public.get("engine"), "种子": twin.seed, "检验结论": twin.outcome,
            "适用范围": (twin.public.get("fidelity") or {}).get("words"),
            "没有保留的特征": twin.public.get("not_preserved", []), "内容摘要": twin.content_sha256,
            "清单摘要": twin.manifest_sha256, "清单签名": twin.signature,
        },
    }  # fmt: skip
