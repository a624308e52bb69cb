"""A proof's steps are told on the job's page in words of both languages."""

from __future__ import annotations

import pytest

from api.pages.words_oversight import step_words
from policies.text import Text

WORDS = {
    "proof:plain": Text("证明：运行作业并固定结果", "proof: running the job and freezing its values"),
    "proof:person:carry": Text("证明：个人：携带归属", "proof: person: carrying owners along"),
    "proof:product:person:half 2": Text("证明：个人：第 2 次随机删半", "proof: person: random half 2"),
    "proof:city:clinic:contributions": Text(
        "证明：city，医疗机构：计算每个主体的贡献", "proof: city, clinic: adding up what each entity contributes"
    ),
    "proof:product:person:visit.fee:shuffle": Text(
        "证明：个人：扰动 visit.fee（打乱）", "proof: person: perturbing visit.fee (shuffled)"
    ),
    "proof:product:ship:visit.a:b:maximum": Text(
        "证明：主体 ship：扰动 visit.a:b（取最大值）", "proof: entity ship: perturbing visit.a:b (set to the maximum)"
    ),
    "proof:anything": Text("证明：核对结果", "proof: checking the result"),
}


@pytest.mark.parametrize("name", WORDS)
def test_a_step_of_a_proof_has_words(name: str) -> None:
    assert step_words(name) == WORDS[name]
