"""The release package: what is signed, and that any change of it shows."""

from __future__ import annotations

import hashlib
import io
import json
import re
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sandbox.exports.marks import marked
from sandbox.exports.release import MANIFEST, VERIFY, ReleaseFacts, package, verify
from sandbox.exports.subject import REAL_LABEL, ExportFile
from sandbox.kernel.keys import SigningKey

FACTS = ReleaseFacts(
    release="rel-1",
    request="exp-1",
    form="aggregate",
    audience="contract",
    rows=2,
    schema={"区": "dimension", "人次": "count"},
    lineage={"job": "sha256:1", "policy": "sha256:2", "snapshot:G-1": "sha256:3"},
    verdict={"outcome": "pass", "edition": "2026-01", "rules": {"EXP-CELL-01": "pass"}},
    signers=({"account": "acc-1", "at": "2026-06-01T00:00:00+00:00", "verdict": "0" * 64},
             {"account": "acc-2", "at": "2026-06-01T00:30:00+00:00", "verdict": "0" * 64}),
    reviewed={"产品.csv": hashlib.sha256("区,人次\n东,20\n".encode()).hexdigest()},
    recipient="org-1",
    recipient_mark="m-1",
    issued_at="2026-06-01T01:00:00+00:00",
    expires_at="2026-08-30T01:00:00+00:00",
    title="门诊就诊按区汇总",
    description="按区、月汇总",
)
FILES = (ExportFile("产品.csv", "区,人次\n东,20\n".encode()), ExportFile("b.json", b"{}"))


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> SigningKey:
    return SigningKey.load_or_create(tmp_path_factory.mktemp("keys") / "release.pem")


@pytest.fixture
def built(key: SigningKey, tmp_path: Path) -> Path:
    path = tmp_path / "release.zip"
    path.write_bytes(package(FACTS, FILES, key))
    return path


def members(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as box:
        return {name: box.read(name) for name in box.namelist()}


def rebuilt(path: Path, content: dict[str, bytes]) -> Path:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as box:
        for name, raw in content.items():
            box.writestr(name, raw)
    path.write_bytes(buffer.getvalue())
    return path


def codes(path: Path, public: bytes | None = None) -> set[str]:
    problems = verify(path, public)
    assert all(p.text.zh and p.text.en for p in problems)
    return {p.code for p in problems}


def test_an_untouched_package_has_no_problem(built: Path, key: SigningKey) -> None:
    assert verify(built) == [] and verify(built, key.public_pem) == []


def test_the_manifest_says_what_left(built: Path, key: SigningKey) -> None:
    manifest = json.loads(members(built)[MANIFEST])
    assert manifest["label"] == REAL_LABEL and manifest["key_id"] == key.key_id
    assert [s["account"] for s in manifest["signers"]] == ["acc-1", "acc-2"] and manifest["recipient_mark"] == "m-1"
    assert {f["name"] for f in manifest["files"]} == {"产品.csv", "b.json", "VERIFY.md", "ro-crate-metadata.json"}


def test_the_crate_describes_every_file(built: Path) -> None:
    crate = json.loads(members(built)["ro-crate-metadata.json"])
    assert crate["@context"] == "https://w3id.org/ro/crate/1.1/context"
    by_id = {entity["@id"]: entity for entity in crate["@graph"]}
    assert by_id["ro-crate-metadata.json"]["about"] == {"@id": "./"}
    assert {part["@id"] for part in by_id["./"]["hasPart"]} == {f.name for f in FILES} <= set(by_id)


def test_the_crate_tells_lineage_policy_and_signers(built: Path) -> None:
    crate = {e["@id"]: e for e in json.loads(members(built)["ro-crate-metadata.json"])["@graph"]}
    assert crate["#run"]["instrument"] == {"@id": "#job"} and crate["#job"]["identifier"] == "sha256:1"
    assert crate["#check"]["result"] == "pass" and crate["#check"]["instrument"] == {"@id": "#policy"}
    assert [crate[f"#sign-{n}"]["agent"]["@id"] for n in (0, 1)] == ["#officer-acc-1", "#officer-acc-2"]
    linked = {v["@id"] for e in crate.values() for v in _links(e)}
    assert linked - {"https://w3id.org/ro/crate/1.1"} <= set(crate), "every reference is described"


def _links(entity: dict[str, Any]) -> list[dict[str, str]]:
    values = [v for value in entity.values() for v in (value if isinstance(value, list) else [value])]
    return [v for v in values if isinstance(v, dict)]


def test_a_marked_file_verifies_and_its_unmarked_bytes_are_the_reviewed_ones(key: SigningKey, tmp_path: Path) -> None:
    reviewed = "区,人次\n".encode() + b"".join(f"第{n}区,{n * 5}\n".encode() for n in range(30))
    facts = replace(FACTS, reviewed={"产品.csv": hashlib.sha256(reviewed).hexdigest()})
    made = marked("产品.csv", reviewed, b"key of one recipient")
    assert made != reviewed
    path = tmp_path / "marked.zip"
    path.write_bytes(package(facts, [ExportFile("产品.csv", made)], key))
    assert verify(path, key.public_pem) == []
    path.write_bytes(package(facts, [ExportFile("产品.csv", made.replace(b"145", b"150"))], key))
    assert codes(path) == {"unreviewed"}, "even our own key does not make other figures the reviewed ones"


def test_a_third_party_verifies_by_the_page_alone(built: Path, key: SigningKey, tmp_path: Path) -> None:
    """The page's own commands, run as they stand, on a good package and on changed ones."""
    page = Path(__file__).parents[2].joinpath("docs", "verify-release.md").read_text("utf-8")
    assert page == VERIFY.format(label=REAL_LABEL) and len(page.splitlines()) < 50
    shell, python = re.findall(r"```(?:sh|python)\n(.*?)```", page, re.DOTALL)
    (tmp_path / "platform.pem").write_bytes(key.public_pem)

    def said(content: dict[str, bytes], name: str) -> tuple[bool, str]:
        folder = tmp_path / name
        folder.mkdir()
        for member, raw in content.items():
            (folder / member).write_bytes(raw)
        signed = subprocess.run(["sh", "-c", shell], cwd=folder, capture_output=True, check=False, text=True)
        files = subprocess.run([sys.executable, "-I", "-c", python], cwd=folder, capture_output=True, text=True,
                               check=True, env={"PYTHONUTF8": "1"})  # fmt: skip
        return "Verified Successfully" in signed.stdout, files.stdout.strip()

    whole = members(built)
    assert said(whole, "good") == (True, "OK")
    assert said(whole | {"产品.csv": whole["产品.csv"] + b" "}, "changed")[1] != "OK"
    assert said(whole | {"more.csv": b"1"}, "extra")[1] != "OK"
    assert not said(whole | {"manifest.json": whole["manifest.json"] + b" "}, "unsigned")[0]
    assert said({n: raw for n, raw in whole.items() if n != "产品.csv"}, "missing")[1] != "OK"


def test_equal_inputs_give_equal_bytes(built: Path, key: SigningKey) -> None:
    assert package(FACTS, FILES, key) == built.read_bytes()


def test_another_key_is_noticed(built: Path, tmp_path: Path) -> None:
    other = SigningKey.load_or_create(tmp_path / "other.pem")
    assert {"wrong_key", "signature"} <= codes(built, other.public_pem)


def test_a_forger_with_an_own_key_is_noticed_only_with_the_platforms_key(
    built: Path, key: SigningKey, tmp_path: Path
) -> None:
    forged = tmp_path / "forged.zip"
    forged.write_bytes(package(FACTS, FILES, SigningKey.load_or_create(tmp_path / "other.pem")))
    assert codes(forged) == set() and "wrong_key" in codes(forged, key.public_pem)


def test_extra_missing_and_changed_members_are_named(built: Path, tmp_path: Path) -> None:
    whole = members(built)
    assert "extra" in codes(rebuilt(tmp_path / "a.zip", {**whole, "more.csv": b"1"}))
    for name in whole:
        assert {"missing"} <= codes(rebuilt(tmp_path / "b.zip", {n: raw for n, raw in whole.items() if n != name}))
        assert codes(rebuilt(tmp_path / "c.zip", {**whole, name: whole[name] + b" "})) - {"container"}


def test_a_repacked_container_with_the_same_members_is_told_apart(built: Path, tmp_path: Path) -> None:
    assert codes(rebuilt(tmp_path / "a.zip", members(built))) == {"container"}


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_changed_byte_is_detected(built: Path, key: SigningKey, tmp_path: Path, data: st.DataObject) -> None:
    raw = bytearray(built.read_bytes())
    place = data.draw(st.integers(0, len(raw) - 1))
    raw[place] ^= data.draw(st.integers(1, 255))
    changed = tmp_path / "changed.zip"
    changed.write_bytes(bytes(raw))
    assert verify(changed) and verify(changed, key.public_pem)


@pytest.mark.parametrize("cut", [0, 1, 30, 500])
def test_a_cut_or_lengthened_package_is_detected(built: Path, tmp_path: Path, cut: int) -> None:
    raw = built.read_bytes()
    path = tmp_path / "cut.zip"
    for content in (raw[:cut], raw[: len(raw) - 1 - cut], raw + b"\0" * (cut + 1)):
        path.write_bytes(content)
        assert verify(path)


def test_a_manifest_written_anew_without_the_key_is_refused(built: Path, tmp_path: Path) -> None:
    whole = members(built)
    manifest = json.loads(whole[MANIFEST]) | {"expires_at": "2099-01-01T00:00:00+00:00"}
    assert "signature" in codes(rebuilt(tmp_path / "a.zip", {**whole, MANIFEST: json.dumps(manifest).encode()}))


@pytest.mark.parametrize("names", [["manifest.json"], ["a.csv", "A.csv"], ["../a.csv"], ["a/b.csv"], ["VERIFY.MD"]])
def test_names_that_could_shadow_or_escape_are_refused(key: SigningKey, names: list[str]) -> None:
    with pytest.raises(ValueError, match="name"):
        package(FACTS, [ExportFile(name, b"") for name in names], key)


def test_a_file_that_is_no_package_is_a_problem_and_no_crash(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    path.write_bytes(b"not a zip")
    assert codes(path) == {"unreadable"}
    assert codes(tmp_path / "absent.zip") == {"unreadable"}
