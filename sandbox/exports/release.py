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
from policies.verdict import Verdict
from sandbox.exports.marks import unmarked
from sandbox.exports.subject import REAL_LABEL, ExportFile
from sandbox.kernel.keys import SigningKey, verify_signature

MANIFEST, SIGNATURE, PUBLIC_KEY = "manifest.json", "manifest.sig", "public_key.pem"
CRATE, README = "ro-crate-metadata.json", "VERIFY.md"
FORMAT = "pds-release/1"
_STAMP = (1980, 1, 1, 0, 0, 0)
_MOST_MEMBERS = 1000
_MOST_BYTES = 1 << 30

VERIFY = """# 验证放行包 · Verify a release

本包是 **{label}**。无需本平台的软件，用 OpenSSL 3 与 Python 3 标准库即可验证。
No software of the platform is needed: OpenSSL 3 and the standard library of Python 3 will do.

1. 解包，并在解出的文件夹中执行下面的步骤 · Unpack, and do the rest in the folder you unpacked.

2. 从平台网站（`/api/v1/platform/key`）或协议附件取得平台公钥，存为上一级文件夹的 `platform.pem`。只信任这样取得的公钥：
   包内的 `public_key.pem` 谁都可以替换，不能证明由谁签名。
   Save the platform's public key, from its web site or your agreement, as `platform.pem` in the folder above. Trust
   only that key: the enclosed one proves nothing about who signed.

3. 验证签名 · Check the signature:

```sh
openssl pkeyutl -verify -pubin -inkey ../platform.pem -rawin -in manifest.json -sigfile manifest.sig
```

   应显示 `Signature Verified Successfully`；否则不要使用本包。Anything else: do not use the package.

4. 核对每个文件 · Check every file (`python3` 运行 · run with `python3`):

```python
import hashlib, json, pathlib
here = pathlib.Path(".")
signed = {{f["name"]: f["sha256"] for f in json.loads((here / "manifest.json").read_text("utf-8"))["files"]}}
present = {{p.name for p in here.iterdir()}} - {{"manifest.json", "manifest.sig", "public_key.pem"}}
wrong = [n for n in set(signed) & present if hashlib.sha256((here / n).read_bytes()).hexdigest() != signed[n]]
print("OK" if not wrong and present == set(signed) else f"不一致 · differs: {{sorted(wrong) or present ^ set(signed)}}")
```

   应显示 `OK`。It has to say `OK`.

`manifest.json` 另载明接收方、核查规则版本与结论、复核人、血缘与有效期；已召回的放行见平台的信息披露页。
The manifest also names recipient, policy edition, verdict, signers, lineage and expiry; recalls are published.
"""


@dataclass(frozen=True, slots=True)
class Problem:
    """One reason not to trust a package: a stable code, the member, and the sentence."""

    code: str
    member: str
    text: Text


@dataclass(frozen=True, slots=True)
class ReleaseFacts:
    """What the manifest says besides the files. Times are ISO 8601 with zone.

    `lineage`: digests of the job, of every snapshot and of the policy edition. `schema`: output column → kind.
    `verdict`: outcome, edition and what each rule came to, without any value or threshold. `signers`: account, time
    and the digest of the verdict each officer approved. `reviewed`: file → digest of the bytes they approved, which is
    what is left when the recipient's mark is taken off.
    """

    release: str
    request: str
    form: str
    audience: str
    rows: int
    schema: Mapping[str, str]
    lineage: Mapping[str, str]
    verdict: Mapping[str, Any]
    signers: Sequence[Mapping[str, str]]
    reviewed: Mapping[str, str]
    recipient: str
    recipient_mark: str
    issued_at: str
    expires_at: str
    title: str
    description: str
    label: str = REAL_LABEL


def told(verdict: Verdict) -> dict[str, Any]:
    """What a manifest says of a verdict: which edition, and what every rule came to. No value, no threshold."""
    return {"outcome": str(verdict.outcome), "policy": verdict.policy, "edition": verdict.edition,
            "digest": verdict.digest, "rules": {run.rule: str(run.outcome) for run in verdict.rules}}  # fmt: skip


def canonical(data: Any) -> bytes:
    """JSON in one byte form: sorted keys, no blanks, UTF-8."""
    return json.dumps(data, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def manifest(facts: ReleaseFacts, files: Sequence[ExportFile], key_id: str) -> dict[str, Any]:
    """The manifest as data. The helper files of the package are listed too, so that no member is unsigned."""
    extra = {CRATE: _crate(facts, files), README: VERIFY.format(label=facts.label).encode()}
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
        README: VERIFY.format(label=facts.label).encode(),
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
    """RO-Crate 1.1: the files, the run that made them and its inputs, and the acts of checking, signing, releasing."""
    parts = [{"@id": f.name} for f in files]
    described = [
        {"@id": f.name, "@type": "File", "name": f.name, "contentSize": str(len(f.content)),
         "sha256": hashlib.sha256(f.content).hexdigest()}
        for f in files
    ]  # fmt: skip
    inputs = [
        {"@id": f"#{name}", "@type": "Dataset", "name": name, "identifier": digest}
        for name, digest in sorted(facts.lineage.items()) if name.startswith("snapshot.")
    ]  # fmt: skip
    job = {"@id": "#job", "@type": "SoftwareSourceCode", "name": "job", "identifier": facts.lineage.get("job", "")}
    made = {"@id": "#run", "@type": "CreateAction", "name": "run on real data, unseen", "instrument": {"@id": "#job"},
            "object": [{"@id": i["@id"]} for i in inputs], "result": parts}  # fmt: skip
    root = {
        "@id": "./", "@type": "Dataset", "name": facts.title, "description": facts.description or facts.title,
        "identifier": facts.release, "datePublished": facts.issued_at, "expires": facts.expires_at,
        "keywords": facts.label, "license": "见协议 / see agreement", "hasPart": parts,
        "mentions": [{"@id": "#run"}, {"@id": "#check"}, *({"@id": f"#sign-{n}"} for n in range(len(facts.signers)))],
    }  # fmt: skip
    about = {
        "@id": CRATE, "@type": "CreativeWork", "conformsTo": {"@id": "https://w3id.org/ro/crate/1.1"},
        "about": {"@id": "./"},
    }  # fmt: skip
    graph = [about, root, *described, job, made, *inputs, *_acts(facts)]
    return canonical({"@context": "https://w3id.org/ro/crate/1.1/context", "@graph": graph})


def _acts(facts: ReleaseFacts) -> list[dict[str, Any]]:
    """The machine's check under its policy edition, and every officer's approval, as actions with agent and time."""
    policy = {"@id": "#policy", "@type": "CreativeWork", "name": f"export {facts.lineage.get('policy.edition', '')}",
              "identifier": facts.lineage.get("policy.export", "")}  # fmt: skip
    check = {"@id": "#check", "@type": "AssessAction", "name": "machine checks", "instrument": {"@id": "#policy"},
             "object": {"@id": "./"}, "result": str(facts.verdict.get("outcome", ""))}  # fmt: skip
    acts: list[dict[str, Any]] = [policy, check]
    for number, signer in enumerate(facts.signers):
        who = f"#officer-{signer['account']}"
        acts.append({"@id": who, "@type": "Person", "identifier": signer["account"]})
        acts.append({"@id": f"#sign-{number}", "@type": "AuthorizeAction", "agent": {"@id": who},
                     "object": {"@id": "./"}, "endTime": signer["at"], "instrument": {"@id": "#check"}})  # fmt: skip
    return acts


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
        reviewed = dict(listed.get("reviewed", {}))
        if listed["format"] != FORMAT or canonical(listed) != members[MANIFEST]:
            raise ValueError("form")
        if listed["key_id"] != hashlib.sha256(members[PUBLIC_KEY]).hexdigest()[:16]:
            problems.append(_problem("wrong_key", PUBLIC_KEY, "密钥编号与清单不符", "key id differs from the manifest"))
    except (ValueError, KeyError, TypeError):
        return [*problems, _problem("manifest", MANIFEST, "清单无法识别", "manifest is not readable")]
    return [*problems, *_file_problems(members, files), *_review_problems(members, reviewed)]


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


def _review_problems(members: Mapping[str, bytes], reviewed: Mapping[str, str]) -> list[Problem]:
    """Files that, without the recipient's mark, are not the bytes the officers approved."""
    wrong = [n for n, digest in reviewed.items()
             if n in members and hashlib.sha256(unmarked(n, members[n])).hexdigest() != digest]  # fmt: skip
    return [_problem("unreviewed", n, "去掉标记后与复核的内容不同", "differs from what was reviewed") for n in wrong]


def _problem(code: str, member: str, zh: str, en: str) -> Problem:
    return Problem(code, member, Text(f"{member}：{zh}", f"{member}: {en}"))
