"""The release package: what is signed, and that any change of it shows."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sandbox.exports.release import MANIFEST, ReleaseFacts, package, verify
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
    reviewers=("acc-1", "acc-2"),
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
    assert manifest["reviewers"] == ["acc-1", "acc-2"] and manifest["recipient_mark"] == "m-1"
    assert {f["name"] for f in manifest["files"]} == {"产品.csv", "b.json", "VERIFY.md", "ro-crate-metadata.json"}


def test_the_crate_describes_every_file(built: Path) -> None:
    crate = json.loads(members(built)["ro-crate-metadata.json"])
    assert crate["@context"] == "https://w3id.org/ro/crate/1.1/context"
    by_id = {entity["@id"]: entity for entity in crate["@graph"]}
    assert by_id["ro-crate-metadata.json"]["about"] == {"@id": "./"}
    assert {part["@id"] for part in by_id["./"]["hasPart"]} == {f.name for f in FILES} <= set(by_id)


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
