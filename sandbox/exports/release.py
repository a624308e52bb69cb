"""The release package: signed manifest, files, and everything needed to verify them offline years later."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from policies.text import Text
from sandbox.exports.subject import REAL_LABEL, ExportFile
from sandbox.kernel.keys import SigningKey, verify_signature

MANIFEST, SIGNATURE, PUBLIC_KEY = "manifest.json", "manifest.sig", "public_key.pem"
CRATE, README = "ro-crate-metadata.json", "VERIFY.md"
FORMAT = "pds-release/1"
_STAMP = (1980, 1, 1, 0, 0, 0)
_MOST_MEMBERS = 1000
_MOST_BYTES = 1 << 30

_VERIFY = """# 验证 / Verify

本包是 **{label}**。清单 `manifest.json` 列出每个文件的 SHA-256，`manifest.sig` 是清单的 Ed25519 签名。
请从平台网站或协议附件取得公钥并与包内 `public_key.pem` 比对；包内公钥本身不能证明来源。

    pds release verify 包.zip --key 平台公钥.pem

This package is a product made from real data. `manifest.json` lists the SHA-256 of every file, `manifest.sig` signs it
with Ed25519. Get the public key from the platform and compare it with `public_key.pem`: the enclosed key alone proves
nothing about who signed.

    openssl pkeyutl -verify -pubin -inkey platform_key.pem -rawin -in manifest.json -sigfile manifest.sig
"""


@dataclass(frozen=True, slots=True)
class Problem:
    """One reason not to trust a package: a stable code, the member, and the sentence."""

    code: str
    member: str
    text: Text


@dataclass(frozen=True, slots=True)
class ReleaseFacts:
    """What the manifest says besides the files. Times are ISO 8601 with zone; reviewers are account ids.

    `lineage`: digests of the job, of every snapshot and of the policy edition. `schema`: output column → kind.
    """

    release: str
    request: str
    form: str
    audience: str
    rows: int
    schema: Mapping[str, str]
    lineage: Mapping[str, str]
    reviewers: Sequence[str]
    recipient_mark: str
    issued_at: str
    expires_at: str
    title: str
    description: str
    label: str = REAL_LABEL


def canonical(data: Any) -> bytes:
    """JSON in one byte form: sorted keys, no blanks, UTF-8."""
    return json.dumps(data, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def manifest(facts: ReleaseFacts, files: Sequence[ExportFile], key_id: str) -> dict[str, Any]:
    """The manifest as data. The helper files of the package are listed too, so that no member is unsigned."""
    extra = {CRATE: _crate(facts, files), README: _VERIFY.format(label=facts.label).encode()}
    listed = {f.name: f.content for f in files} | extra
    return {
        "format": FORMAT,
        "key_id": key_id,
        **asdict(facts),
        "files": [
            {"name": name, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
            for name, content in sorted(listed.items())
        ],
    }


def package(facts: ReleaseFacts, files: Sequence[ExportFile], key: SigningKey) -> bytes:
    """The release as zip bytes; equal facts, files and key give equal bytes.

    Raises `ValueError` where a file's name is taken by the package itself, repeats, or holds a path.
    """
    names = [f.name for f in files]
    reserved = {MANIFEST, SIGNATURE, PUBLIC_KEY, CRATE, README}
    if len({n.casefold() for n in names}) < len(names) or {n.casefold() for n in names} & {
        r.casefold() for r in reserved
    }:
        raise ValueError("a file name repeats or is used by the package")
    if any(Path(n).name != n or "\\" in n for n in names):
        raise ValueError("a file name holds a path")
    signed = canonical(manifest(facts, files, key.key_id))
    members = {
        MANIFEST: signed,
        SIGNATURE: key.sign(signed),
        PUBLIC_KEY: key.public_pem,
        CRATE: _crate(facts, files),
        README: _VERIFY.format(label=facts.label).encode(),
        **{f.name: f.content for f in files},
    }
    return _zip(members)


def _zip(members: Mapping[str, bytes]) -> bytes:
    """One byte form: sorted, stored and not deflated (deflate differs between zlib builds), fixed time and mode."""
    buffer = io.BytesIO()
    write_zip(buffer, members)
    return buffer.getvalue()


def write_zip(target: IO[bytes], members: Mapping[str, bytes | Path]) -> None:
    """The same form, written to `target`; a member that is a path is streamed."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as box:
        for name, content in sorted(members.items()):
            info = zipfile.ZipInfo(name, _STAMP)
            info.external_attr = 0o100644 << 16
            info.create_system = 3
            if isinstance(content, bytes):
                box.writestr(info, content)
                continue
            info.file_size = content.stat().st_size
            with content.open("rb") as source, box.open(info, "w") as member:
                shutil.copyfileobj(source, member, 1 << 20)


def _crate(facts: ReleaseFacts, files: Sequence[ExportFile]) -> bytes:
    """Minimal RO-Crate 1.1: the package as a dataset with its files."""
    described = [
        {
            "@id": f.name,
            "@type": "File",
            "contentSize": str(len(f.content)),
            "sha256": hashlib.sha256(f.content).hexdigest(),
        }
        for f in files
    ]
    root = {
        "@id": "./",
        "@type": "Dataset",
        "name": facts.title,
        "description": facts.description,
        "identifier": facts.release,
        "datePublished": facts.issued_at,
        "expires": facts.expires_at,
        "keywords": facts.label,
        "license": "见协议 / see agreement",
        "hasPart": [{"@id": f.name} for f in files],
    }
    about = {
        "@id": CRATE,
        "@type": "CreativeWork",
        "conformsTo": {"@id": "https://w3id.org/ro/crate/1.1"},
        "about": {"@id": "./"},
    }
    return canonical({"@context": "https://w3id.org/ro/crate/1.1/context", "@graph": [about, root, *described]})


def verify(path: Path, public_key: bytes | None = None) -> list[Problem]:
    """Every reason not to trust the package; an empty list means it is as it was signed.

    `public_key`: the platform's key in PEM from a source you trust. Without it the enclosed key is used, which shows
    that nothing was changed since signing, not who signed.
    """
    try:
        members, intact = _members(path)
    except Exception as error:
        return [_problem("unreadable", path.name, "包无法读取或已损坏", f"unreadable: {type(error).__name__}")]
    missing = [name for name in (MANIFEST, SIGNATURE, PUBLIC_KEY) if name not in members]
    if missing:
        return [_problem("missing", name, "缺少文件", "member is missing") for name in missing]
    problems = [] if intact else [_problem("container", path.name, "压缩包外层被改动", "the container was changed")]
    problems += _key_problems(members, public_key)
    try:
        listed = json.loads(members[MANIFEST])
        files = {f["name"]: (f["bytes"], f["sha256"]) for f in listed["files"]}
        if listed["format"] != FORMAT or canonical(listed) != members[MANIFEST]:
            raise ValueError("form")
        if listed["key_id"] != hashlib.sha256(members[PUBLIC_KEY]).hexdigest()[:16]:
            problems.append(_problem("wrong_key", PUBLIC_KEY, "密钥编号与清单不符", "key id differs from the manifest"))
    except (ValueError, KeyError, TypeError):
        return [*problems, _problem("manifest", MANIFEST, "清单无法识别", "manifest is not readable")]
    return [*problems, *_file_problems(members, files)]


def _members(path: Path) -> tuple[dict[str, bytes], bool]:
    """The members, and whether the container around them is byte for byte the one the platform writes."""
    raw = path.read_bytes()
    with zipfile.ZipFile(io.BytesIO(raw)) as box:
        infos = box.infolist()
        if len(infos) > _MOST_MEMBERS or sum(i.file_size for i in infos) > _MOST_BYTES:
            raise ValueError("too large")
        if len({i.filename for i in infos}) < len(infos):
            raise ValueError("a member repeats")
        members = {info.filename: box.read(info) for info in infos}
    return members, _zip(members) == raw


def _key_problems(members: Mapping[str, bytes], public_key: bytes | None) -> list[Problem]:
    problems = []
    if public_key is not None and public_key.strip() != members[PUBLIC_KEY].strip():
        problems.append(_problem("wrong_key", PUBLIC_KEY, "包内公钥不是平台公钥", "enclosed key is not the platform's"))
    try:
        signed = verify_signature(public_key or members[PUBLIC_KEY], members[SIGNATURE], members[MANIFEST])
    except Exception:
        signed = False
    if not signed:
        problems.append(_problem("signature", SIGNATURE, "签名不成立", "signature does not hold"))
    return problems


def _file_problems(members: Mapping[str, bytes], files: Mapping[str, tuple[int, str]]) -> list[Problem]:
    present = set(members) - {MANIFEST, SIGNATURE, PUBLIC_KEY}
    problems = [_problem("missing", n, "缺少文件", "member is missing") for n in sorted(set(files) - present)]
    problems += [_problem("extra", n, "多出未签名的文件", "member is not signed") for n in sorted(present - set(files))]
    for name in sorted(present & set(files)):
        if (len(members[name]), hashlib.sha256(members[name]).hexdigest()) != tuple(files[name]):
            problems.append(_problem("changed", name, "内容被改动", "content was changed"))
    return problems


def _problem(code: str, member: str, zh: str, en: str) -> Problem:
    return Problem(code, member, Text(f"{member}：{zh}", f"{member}: {en}"))
