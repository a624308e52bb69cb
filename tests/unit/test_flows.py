"""What Prefect is told of a step: names and classes, never an exception's words."""

from __future__ import annotations

import pytest

from pipelines.flows import KINDS, StepFailed, scrubbed
from pipelines.registry import HANDLERS


def test_a_failing_step_tells_prefect_its_class_and_nothing_of_its_text() -> None:
    kept: list[Exception] = []

    def step() -> None:
        raise ValueError("could not convert 440101199001011234")

    with pytest.raises(StepFailed) as told:
        scrubbed(step, kept)()
    assert str(told.value) == "ValueError"
    assert told.value.__cause__ is None
    assert told.value.__context__ is None
    assert "440101199001011234" in str(kept[0])


def test_a_step_that_works_gives_its_result() -> None:
    assert scrubbed(lambda: 7, [])() == 7


def test_every_kind_of_job_has_its_deployment_and_every_deployment_its_handler() -> None:
    assert set(KINDS) == set(HANDLERS)
