"""A mistake in a policy file is refused with its file, line and field."""

from __future__ import annotations

import re
import shutil
from datetime import date
from pathlib import Path

import pytest

from policies import editions
from policies.editions import HOME, KINDS, PolicyError
from policies.reading import read
from policies.verdict import Outcome


def draft(tmp_path: Path, kind: str, *changes: tuple[str, str], edition: str = "2026-01") -> Path:
    """A copy of a shipped edition with each text replaced once."""
    text = (HOME / kind / f"{edition}.yaml").read_text("utf-8")
    for old, new in changes:
        assert old in text, f"the shipped {kind} edition has no {old!r}"
        text = text.replace(old, new, 1)
    path = tmp_path / f"{kind}-draft.yaml"
    path.write_text(text, "utf-8")
    return path


def refusal(path: Path) -> PolicyError:
    with pytest.raises(PolicyError) as caught:
        editions.load_file(path)
    return caught.value


def line_with(path: Path, words: str) -> int:
    return next(n for n, line in enumerate(path.read_text("utf-8").splitlines(), 1) if words in line)


@pytest.mark.parametrize(
    ("old", "new", "field", "says"),
    [
        ("      threshold: 10", "      treshold: 10", "treshold", "没有这个字段"),
        ("      threshold: 10", "      threshold: 2", "threshold", "不得小于 3"),
        ("    on_fail: block", "    on_fail: reject", "on_fail", "只能是 block"),
        ("    check: cell_threshold", "    check: cell_treshold", "check", "没有这种检查"),
        ('edition: "2026-01"', "edition: 2026-01", "edition", "请加引号"),
    ],
    ids=["misspelt-key", "below-floor", "wrong-severity", "unknown-check", "unquoted-edition"],
)
def test_a_deliberate_mistake_is_reported_with_file_line_and_field(
    tmp_path: Path, old: str, new: str, field: str, says: str
) -> None:
    path = draft(tmp_path, "export", (old, new))
    error = refusal(path)
    found = [p for p in error.problems if p.field.endswith(field) and says in p.text.zh]
    assert len(found) == 1, [str(p) for p in error.problems]
    assert found[0].file == str(path)
    assert found[0].line == line_with(path, new.strip())
    assert f"{path}:{found[0].line}" in str(error)


def test_all_mistakes_are_reported_at_once(tmp_path: Path) -> None:
    path = draft(tmp_path, "export", ("      threshold: 10", "      threshold: 2"), ("      base: 5", "      base: 1"))
    assert len(refusal(path).problems) == 2


def test_a_missing_field_names_the_rule_it_is_missing_from(tmp_path: Path) -> None:
    path = draft(tmp_path, "export", ("      min_length: 16\n", ""))
    (problem,) = refusal(path).problems
    assert problem.field.endswith("parameters.min_length")
    assert problem.line == line_with(path, "check: opaque_columns") + 2


@pytest.mark.parametrize(
    "written", ["yes", "No", "off", "007", "1_000", "0x1F", "12:30", "1e3", "~", ".5", "2026-1-1", ""]
)
def test_values_that_yaml_would_guess_at_are_refused(written: str) -> None:
    with pytest.raises(PolicyError) as caught:
        read(f"a: text\nb: {written}\n", "x.yaml")
    assert [(p.line, p.field) for p in caught.value.problems] == [(2, "b")]


@pytest.mark.parametrize(
    "text",
    [
        "a: &x 1\nb: *x\n",
        "a: 1\na: 2\n",
        "a:\n  <<: {b: 1}\n",
        "a: !mine 1\n",
        "a: !!python/name:os.system 1\n",
        "a: [1\n",
        "- 1\n",
        "",
        "d: 2026-02-30\n",
    ],
)
def test_anchors_repeats_and_broken_files_are_refused(text: str) -> None:
    with pytest.raises(PolicyError) as caught:
        read(text, "x.yaml")
    assert all(p.line >= 1 for p in caught.value.problems)


def test_plain_values_keep_their_types() -> None:
    data = read('a: 1\nb: -0.5\nc: true\nd: null\ne: 2026-01-31\nf: "007"\ng: 文字\nh: [1, 2]\n', "x").data
    assert data == {
        "a": 1,
        "b": -0.5,
        "c": True,
        "d": None,
        "e": date(2026, 1, 31),
        "f": "007",
        "g": "文字",
        "h": (1, 2),
    }


def test_a_file_that_is_not_utf8_is_refused_with_its_line() -> None:
    with pytest.raises(PolicyError) as caught:
        editions.load_text("policy: export\ntitle: 出域".encode("gb18030"), "x.yaml")
    assert caught.value.problems[0].line == 2


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(PolicyError):
        editions.load("exports")
    with pytest.raises(PolicyError) as caught:
        editions.load_text("policy: exports\n", "x.yaml")
    assert caught.value.problems[0].line == 1


@pytest.mark.parametrize("kind", [k for k in KINDS if k != "calendar"])
def test_a_shipped_edition_loads_once_and_carries_its_digest_and_text(kind: str) -> None:
    edition = editions.load(kind, on=date(2026, 7, 1))
    assert edition is editions.load(kind, edition.edition)
    assert (edition.kind, edition.policy) == (kind, kind)
    assert re.fullmatch("[0-9a-f]{64}", edition.digest)
    again = editions.load_text(edition.full_text)
    assert again.digest == edition.digest and again == edition


def test_the_newest_edition_in_force_on_the_day_is_taken(tmp_path: Path) -> None:
    root = tmp_path / "policies"
    shutil.copytree(HOME / "export", root / "export")
    text = (HOME / "export/2026-01.yaml").read_text("utf-8")
    text = text.replace('edition: "2026-01"', 'edition: "2026-07"').replace("supersedes: null", 'supersedes: "2026-01"')
    text = text.replace("effective_from: 2026-01-01", "effective_from: 2026-07-01").replace(
        "threshold: 10", "threshold: 12"
    )
    (root / "export/2026-07.yaml").write_text(text, "utf-8")
    assert editions.publish(root=root) == ("export/2026-01.yaml", "export/2026-07.yaml")

    before = editions.load("export", on=date(2026, 6, 30), root=root)
    after = editions.load("export", on=date(2026, 7, 1), root=root)
    assert (before.edition, after.edition) == ("2026-01", "2026-07")
    changes = {(c.rule, c.field): (c.before, c.after) for c in editions.diff(before, after)}
    assert changes["EXP-CELL-01", "parameters.threshold"] == (10, 12)
    assert changes["", "supersedes"] == (None, "2026-01")
    assert editions.diff(before, before) == ()
    with pytest.raises(PolicyError, match="none_in_force"):
        editions.load("export", on=date(2025, 12, 31), root=root)


def test_diff_names_rules_that_came_and_went(tmp_path: Path) -> None:
    quality = editions.load("quality", "2026-01")
    renamed = editions.load_file(draft(tmp_path, "quality", ("id: QUA-QUAR-01", "id: QUA-QUAR-02")))
    assert {(c.rule, c.kind) for c in editions.diff(quality, renamed)} == {
        ("QUA-QUAR-01", "removed"),
        ("QUA-QUAR-02", "added"),
    }
    with pytest.raises(PolicyError):
        editions.diff(quality, editions.load("workspace", "2026-01"))


def test_a_changed_published_file_is_refused(tmp_path: Path) -> None:
    root = tmp_path / "policies"
    shutil.copytree(HOME / "workspace", root / "workspace")
    editions.publish(root=root)
    path = root / "workspace/2026-01.yaml"
    path.write_text(path.read_text("utf-8") + "# 后来加的一行\n", "utf-8")
    with pytest.raises(PolicyError, match=r"policy\.changed"):
        editions.load("workspace", "2026-01", root=root)
    with pytest.raises(PolicyError, match=r"policy\.changed"):
        editions.publish(root=root)


def test_an_unpublished_file_is_refused_until_it_is_locked(tmp_path: Path) -> None:
    root = tmp_path / "policies"
    shutil.copytree(HOME / "workspace", root / "workspace")
    with pytest.raises(PolicyError, match="not_published"):
        editions.load("workspace", "2026-01", root=root)
    editions.publish(root=root)
    assert editions.load("workspace", "2026-01", root=root).edition == "2026-01"


def test_a_rule_is_found_by_id_with_typed_parameters() -> None:
    rule = editions.load("export", "2026-01").rule("EXP-CELL-01")
    assert (rule.check, rule.on_fail, rule.parameters.threshold) == ("cell_threshold", Outcome.BLOCK, 10)
    assert rule.title.zh and rule.why.en
    with pytest.raises(PolicyError):
        editions.load("export", "2026-01").rule("EXP-CELL-99")


def test_an_edition_cannot_be_changed_in_memory() -> None:
    rule = editions.load("export", "2026-01").rule("EXP-CELL-01")
    with pytest.raises(ValueError, match="frozen"):
        rule.parameters.threshold = 3


def test_a_resource_declares_its_own_quality_rules(tmp_path: Path) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text(
        "tables:\n  - table: 居民登记\n    rules:\n"
        "      - {kind: unique_key, columns: [身份证号]}\n"
        "      - {kind: range, column: 年龄, min: 0, max: 130}\n"
        "      - {kind: date_order, columns: [出生日期, 登记日期]}\n"
        "      - {kind: check_digit, column: 身份证号, scheme: resident_id}\n",
        "utf-8",
    )
    rules = editions.load_resource_rules(path)
    assert [rule.kind for rule in rules.of("居民登记")] == ["unique_key", "range", "date_order", "check_digit"]
    assert rules.of("企业登记") == ()
    path.write_text(path.read_text("utf-8").replace("max: 130", "max: -1"), "utf-8")
    with pytest.raises(PolicyError) as caught:
        editions.load_resource_rules(path)
    assert caught.value.problems[0].line == 5
