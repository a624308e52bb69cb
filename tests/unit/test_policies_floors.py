"""An officer cannot go below a legal or statistical minimum by a slip."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from policies import checks, editions
from policies.editions import HOME, KINDS, PolicyError
from policies.lint import lint
from policies.schema.files import CARRIES_CODE


def changed(kind: str, old: str, new: str, edition: str = "2026-01") -> str:
    text = (HOME / kind / f"{edition}.yaml").read_text("utf-8")
    assert old in text, f"the shipped {kind} edition has no {old!r}"
    return text.replace(old, new, 1)


def rule_text(kind: str, rule_id: str) -> str:
    """The lines of one rule, as written."""
    text = (HOME / kind / "2026-01.yaml").read_text("utf-8")
    start = text.index(f"  - id: {rule_id}\n")
    end = text.find("  - id: ", start + 1)
    return text[start : end if end > 0 else len(text)]


@pytest.mark.parametrize(
    ("kind", "rule_id", "old", "new"),
    [
        ("deadlines", "DDL-EXPORT-01", "on_lapse: alarm", "on_lapse: consent"),
        ("deadlines", "DDL-CHECK-01", "on_lapse: alarm", "on_lapse: consent"),
        ("deadlines", "DDL-ONBOARD-01", "on_lapse: alarm", "on_lapse: consent"),
        ("deadlines", "DDL-AGREE-01", "max_years: 5", "max_years: 6"),
        ("deadlines", "DDL-KEEP-01", "evidence_years: 3", "evidence_years: 2"),
        ("deadlines", "DDL-APPROVE-01", "reminders: [0.5, 0.8]", "reminders: [0.8, 0.5]"),
        ("grading", "GRD-FLOOR-01", "sensitive_personal: 4", "sensitive_personal: 3"),
        ("grading", "GRD-FLOOR-01", "deidentified_personal: 2", "deidentified_personal: 1"),
        ("grading", "GRD-FLOOR-01", "prohibited_public: 4", "prohibited_public: 3"),
        ("grading", "GRD-UNMARKED-01", "level: 4", "level: 3"),
        ("grading", "GRD-ID-01", "level: 4", "level: 3"),
        ("grading", "GRD-SEX-01", "level: 2", "level: 1"),
        ("grading", "GRD-NAME-01", "record_export: drop", "record_export: keep"),
        ("grading", "GRD-LOWER-01", "second_person_required: true", "second_person_required: false"),
        ("grading", "GRD-DAMAGE-01", "data_class: core", "data_class: general"),
        ("grading", "GRD-NAMEWITH-01", "GRD-NAME-02", "GRD-NAME-77"),
        ("grading", "GRD-NAME-01", "agreement: entity", "agreement: none"),
        ("grading", "GRD-PENALTY-01", "level: 3", "level: 2"),
        ("grading", "GRD-PENALTY-01", "GRD-ORG-06", "GRD-ORG-77"),
        ("grading", "GRD-UNPUBLISHED-01", "level: 4", "level: 3"),
        ("grading", "GRD-QUASI-01", "once: [GRD-AREA-01]", "once: [GRD-AREA-77]"),
        ("grading", "GRD-NOBODY-01", "places: [GRD-AREA-01]", "places: []"),
        ("quality", "QUA-IND-0303", "direction: low", "direction: high"),
        ("quality", "QUA-IND-0101", 'code: "0101"', 'code: "0102"'),
        ("quality", "QUA-ROWS-01", "max_difference: 0", "max_difference: 1"),
        ("simulation", "SIM-RARE-01", "k: 5", "k: 2"),
        ("simulation", "SIM-IDENT-01", "max_values: 0", "max_values: 1"),
        ("simulation", "SIM-COPY-01", "on_fail: block", "on_fail: review"),
        ("simulation", "SIM-DCR-02", "min_share: 0.95", "min_share: 0.5"),
        ("simulation", "SIM-MODEL-01", "[direct]", "[quasi]"),
        ("simulation", "SIM-LABEL-01", "[file_name, metadata, answer]", "[file_name]"),
        ("workspace", "WSP-MODE-01", "level_4: jobs", "level_4: rows"),
        ("workspace", "WSP-MODE-01", "level_3: pseudonyms", "level_3: rows"),
        ("workspace", "WSP-PREVIEW-01", "min_group: 30", "min_group: 9"),
        ("workspace", "WSP-PREVIEW-01", "base: 10", "base: 1"),
        ("workspace", "WSP-PREVIEW-01", "dominance_percent: 50", "dominance_percent: 100"),
        ("workspace", "WSP-PREVIEW-01", "levels: [1, 2, 3]", "levels: [1, 2, 3, 5]"),
        ("workspace", "WSP-TIER-01", "real_data: strong", "real_data: weak"),
        ("workspace", "WSP-BUCKET-01", "[100, ", "[1, "),
        ("workspace", "WSP-LIMIT-01", "on_fail: block", "on_fail: review"),
        ("export", "EXP-CELL-01", "threshold: 10", "threshold: 2"),
        ("export", "EXP-DIFF-01", "threshold: 10", "threshold: 2"),
        ("export", "EXP-SUPP-01", "min_interval_width: 10", "min_interval_width: 1"),
        ("export", "EXP-PII-01", "max_hits: 0", "max_hits: 1"),
        ("export", "EXP-PII-01", "CN_RESIDENT_ID, ", ""),
        ("export", "EXP-PII-01", "on_fail: block", "on_fail: review"),
        ("export", "EXP-PII-01", "forms: [aggregate, record, report]", "forms: [record]"),
        ("export", "EXP-KANON-01", "public: 20", "public: 19"),
        ("export", "EXP-RISK-01", "max_risk: 0.05", "max_risk: 0.06"),
        ("export", "EXP-RISK-01", "context_public: 1", "context_public: 0.5"),
        ("export", "EXP-LEVEL-01", "max_level_record: 3", "max_level_record: 4"),
        ("export", "EXP-ROW-01", "[contract, enclave]", "[public, contract]"),
        ("export", "EXP-PROOF-01", "[minimum, maximum, shuffle]", "[shuffle]"),
        ("export", "EXP-REVIEW-01", "two_from_level: 3", "two_from_level: 4"),
        ("export", "EXP-FORMULA-01", '"=", ', ""),
        ("export", "EXP-FILE-01", "[csv, ", "[csv, svg, "),
        ("export", "EXP-FILE-01", "[csv, ", "[csv, pickle, "),
    ],
)
def test_a_value_beyond_its_floor_is_refused(kind: str, rule_id: str, old: str, new: str) -> None:
    written = rule_text(kind, rule_id)
    assert old in written
    text = changed(kind, written, written.replace(old, new))
    with pytest.raises(PolicyError) as caught:
        editions.load_text(text, "draft.yaml")
    assert caught.value.code == "policy.invalid"
    assert caught.value.problems


def test_only_the_departments_approval_may_lapse_into_consent() -> None:
    deadlines = editions.load("deadlines", "2026-01")
    lapses = {name: deadlines.by_check(name).parameters.on_lapse for name in checks.names("deadlines") & CLOCKS}
    assert lapses == {**dict.fromkeys(CLOCKS, "alarm"), "application_approval": "consent"}


CLOCKS = {"onboarding_check", "application_check", "application_approval", "export_review"}


@pytest.mark.parametrize("kind", [k for k in KINDS if k not in {"calendar", "grading"}])
def test_leaving_any_rule_out_is_refused(kind: str) -> None:
    for rule in editions.load(kind, "2026-01").rules:
        with pytest.raises(PolicyError, match=r"policy\.invalid"):
            editions.load_text(changed(kind, rule_text(kind, rule.id), ""), "draft.yaml")


def test_preparing_and_approving_by_one_person_is_refused() -> None:
    text = changed("export", "approved_by: 规则审批岗（首版）", "approved_by: 规则编制岗（首版）")
    with pytest.raises(PolicyError) as caught:
        editions.load_text(text, "draft.yaml")
    assert "同一人" in caught.value.problems[0].text.zh


def test_a_calendar_that_forgets_a_holiday_is_refused() -> None:
    text = (HOME / "calendar/2026.yaml").read_text("utf-8")
    start = text.index("  - id: CAL-2026-03")
    end = text.index("  - id: CAL-2026-04")
    with pytest.raises(PolicyError):
        editions.load_text(text[:start] + text[end:], "draft.yaml")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("workdays: [2026-01-04]", "workdays: [2026-01-05]"),
        ("workdays: [2026-01-04]", "workdays: [2026-01-03]"),
        ("off_to: 2026-01-03", "off_to: 2027-01-03"),
        ("off_from: 2026-01-01", "off_from: 2025-12-31"),
    ],
    ids=["weekday-worked", "off-and-worked", "too-long", "other-year"],
)
def test_a_calendar_that_contradicts_itself_is_refused(old: str, new: str) -> None:
    with pytest.raises(PolicyError):
        editions.load_text(changed("calendar", old, new, "2026"), "draft.yaml")


def test_no_edition_may_let_out_a_type_that_carries_code() -> None:
    parameters = editions.load("export", "2026-01").rule("EXP-FILE-01").parameters
    assert not {*parameters.allowed, *parameters.review} & CARRIES_CODE
    assert {"pickle", "svg", "xlsm"} <= CARRIES_CODE


def test_shipped_editions_lint_clean() -> None:
    assert [str(problem) for problem in lint()] == []


def copied(tmp_path: Path) -> Path:
    root = tmp_path / "policies"
    for kind in KINDS:
        shutil.copytree(HOME / kind, root / kind)
    shutil.copy(HOME / editions.LOCK, root / editions.LOCK)
    return root


def next_edition(root: Path, *changes: tuple[str, str]) -> Path:
    text = (root / "workspace/2026-01.yaml").read_text("utf-8")
    for old, new in [('edition: "2026-01"', 'edition: "2026-07"'), ("from: 2026-01-01", "from: 2026-07-01"), *changes]:
        assert old in text
        text = text.replace(old, new, 1)
    path = root / "workspace/2026-07.yaml"
    path.write_text(text, "utf-8")
    return path


def said(root: Path) -> str:
    return "\n".join(str(problem) for problem in lint(root=root))


def test_lint_finds_a_changed_a_missing_and_an_unlocked_file(tmp_path: Path) -> None:
    root = copied(tmp_path)
    assert said(root) == ""
    with (root / "export/2026-01.yaml").open("a", encoding="utf-8") as file:
        file.write("# 改动\n")
    (root / "calendar/2025.yaml").unlink()
    next_edition(root, ("supersedes: null", 'supersedes: "2026-01"'))
    found = said(root)
    assert "已发布的文件被改动" in found and "文件不在了" in found and "尚未登记摘要" in found


def test_lint_finds_a_rule_id_used_for_another_check(tmp_path: Path) -> None:
    root = copied(tmp_path)
    path = next_edition(
        root,
        ("supersedes: null", 'supersedes: "2026-01"'),
        ("id: WSP-LIMIT-01", "id: WSP-LIMIT-09"),
        ("id: WSP-RUN-01", "id: WSP-LIMIT-01"),
    )
    editions.publish(root=root)
    (problem,) = lint(root=root)
    assert "不得改作他用" in problem.text.zh
    assert "WSP-LIMIT-01" in path.read_text("utf-8").splitlines()[problem.line - 1]
    assert [p.text for p in lint([path], root=root)] == [problem.text]


@pytest.mark.parametrize(
    ("written", "says"),
    [("null", "已是首版"), ('"2025-12"', "不存在"), ('"2026-07"', "并不更早")],
)
def test_lint_follows_the_chain_of_editions(tmp_path: Path, written: str, says: str) -> None:
    root = copied(tmp_path)
    next_edition(root, ("supersedes: null", f"supersedes: {written}"))
    editions.publish(root=root)
    assert says in said(root)


def test_lint_finds_a_wrong_prefix_and_a_verified_value_of_our_own(tmp_path: Path) -> None:
    root = copied(tmp_path)
    path = next_edition(
        root,
        ("supersedes: null", 'supersedes: "2026-01"'),
        ("id: WSP-RUN-01", "id: EXP-RUN-01"),
        ("status: assumed", "status: verified"),
    )
    texts = [problem.text.zh for problem in lint([path], root=root)]
    assert texts == ["自定的取值不能标为已核实", "编号应以 WSP- 开头"]


def test_lint_reports_a_draft_that_does_not_parse(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("policy: export\n", "utf-8")
    assert all(problem.file == str(path) for problem in lint([path]))
    assert lint([path])
    assert lint([tmp_path / "absent.yaml"])
