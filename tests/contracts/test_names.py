"""Names: no clash with other distributions, and one grammar for events."""

from __future__ import annotations

import re
from importlib.metadata import packages_distributions
from pathlib import Path

from sandbox.kernel.permissions import PERMISSIONS
from tests.lifecycles import LIFECYCLES

HOME = Path(__file__).parents[2]
OURS = ("api", "sandbox", "pipelines", "synthetic", "policies", "tests", "benchmarks")


def _written() -> set[str]:
    """Every event name that the code writes."""
    files = [p for folder in ("sandbox", "pipelines", "api", "synthetic") for p in (HOME / folder).rglob("*.py")]
    source = "\n".join(p.read_text(encoding="utf-8") for p in files)
    return set(re.findall(r'\.audit\(\s*"([^"]+)"', source))


def test_no_installed_distribution_has_a_package_of_our_name() -> None:
    """The index holds unrelated distributions called policies, pipelines and synthetic."""
    installed = packages_distributions()
    strangers = {name: installed[name] for name in OURS if set(installed.get(name, ())) - {"public-data-sandbox"}}
    assert strangers == {}


def test_our_packages_are_the_ones_of_this_project() -> None:
    for name in OURS[:5]:
        module = __import__(name)
        assert Path(str(module.__file__)).is_relative_to(HOME), name


def test_event_names_follow_noun_verb() -> None:
    written = _written()
    assert len(written) > 30
    assert [e for e in sorted(written) if not re.fullmatch(r"[a-z]+:[a-z]+(_[a-z]+)*", e)] == []


def test_events_of_transitions_follow_the_same_grammar() -> None:
    events = {f"{lifecycle.noun}:{t.name}" for lifecycle in LIFECYCLES for t in lifecycle.transitions}
    assert all(re.fullmatch(r"[a-z]+:[a-z]+(_[a-z]+)*", e) for e in events)
    assert not events & _written(), "an event of a transition is written by its table only"


def test_nouns_of_lifecycles_are_the_nouns_of_permissions() -> None:
    """A department's approval is decided under the application's permission."""
    nouns = {action.split(":")[0] for action in PERMISSIONS}
    assert {lifecycle.noun for lifecycle in LIFECYCLES} - nouns == {"approval"}
