"""Leaks of models: rows kept as parameters, more parameters than people, leaves of a few."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import polars as pl

from benchmarks.leaks.forms import LOOKED_AT
from benchmarks.leaks.records import ROLES, register
from benchmarks.leaks.registry import Pair, case
from benchmarks.leaks.town import Town, report

STORED = (*LOOKED_AT, "EXP-HIDDEN-01")
"""A person is shown what a model stores, whatever it is."""


def onnx(operator: str, *, stored: Sequence[Sequence[float]] = (), **attributes: Any) -> bytes:
    """A model of one operator with these attributes, and a tensor of these rows beside it."""
    from onnx import TensorProto, helper

    node = helper.make_node(operator, ["x"], ["y"], domain="ai.onnx.ml", **attributes)
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [None, 3]) for n in ("x", "y")]
    rows = [value for row in stored for value in row]
    tensors = [helper.make_tensor("w", TensorProto.DOUBLE, [len(stored), len(stored[0])], rows)] if stored else []
    graph = helper.make_graph([node], "g", ends[:1], ends[1:], tensors)
    return bytes(helper.make_model(graph).SerializeToString())


def linear(n: int) -> bytes:
    return onnx("LinearRegressor", coefficients=[0.25 * i for i in range(n)], intercepts=[1.5])


def ensemble(leaves: int) -> bytes:
    """One tree: a chain of branches with a leaf at each."""
    nodes = leaves * 2 - 1
    modes = ["BRANCH_LEQ" if i % 2 == 0 and i < nodes - 1 else "LEAF" for i in range(nodes)]
    return onnx("TreeEnsembleRegressor", nodes_modes=modes, nodes_treeids=[0] * nodes, nodes_nodeids=list(range(nodes)),
                nodes_values=[float(i) for i in range(nodes)])  # fmt: skip


def numbered(town: Town) -> pl.DataFrame:
    """The register with one more number about each person."""
    return register(town).with_columns(天数=pl.int_range(pl.len()) * 7919 % 61)


def amounts(town: Town) -> list[list[float]]:
    """Rows of the register as numbers."""
    rows = numbered(town).select("年龄", "费用", "天数").head(300)
    return [[float(v) for v in row] for row in rows.rows()]


def forest(samples: Sequence[int]) -> bytes:
    leaves = [{"value": 0.5 * n, "samples": n} for n in samples]
    tree: Any = leaves[0]
    for n, leaf in enumerate(leaves[1:], start=1):
        tree = {"split": "费用", "at": 20.5 * n, "left": tree, "right": leaf}
    return json.dumps({"model": "forest", "trees": [tree]}, ensure_ascii=False).encode()


def as_json(n: int) -> bytes:
    return json.dumps({"model": "linear", "parameters": {f"x{i}": 0.25 * i for i in range(n)}}).encode()


Make = Callable[[Town], bytes]
LEAKS: dict[str, tuple[str, str, Make, Make]] = {
    "support vectors": ("EXP-MODEL-01", "m.onnx",
                        lambda town: onnx("SVMRegressor", support_vectors=[v for r in amounts(town)[:40] for v in r]),
                        lambda town: linear(3)),
    "rows of the register as a tensor": ("EXP-RAW-01", "m.onnx",
                                         lambda town: onnx("Normalizer", stored=amounts(town)), lambda town: linear(3)),
    "more coefficients than a third of the people": ("EXP-MODEL-01", "m.onnx", lambda town: linear(1500),
                                                     lambda town: linear(30)),
    "a coefficient for every person": ("EXP-MODEL-01", "m.json", lambda town: as_json(register(town).height),
                                       lambda town: as_json(20)),
    "a tree with a leaf for every fifth person": ("EXP-MODEL-01", "m.onnx",
                                                  lambda town: ensemble(register(town).height // 5),
                                                  lambda town: ensemble(12)),
    "leaves of two persons": ("EXP-MODEL-01", "m.json", lambda town: forest([200, 2, 80]),
                              lambda town: forest([200, 20, 80])),
    "leaves of nine persons": ("EXP-MODEL-01", "m.json", lambda town: forest([200, 9, 80]),
                               lambda town: forest([200, 10, 80])),
    "leaves that do not say how many they are": (
        "EXP-MODEL-01", "m.json", lambda town: forest([200, 20, 80]).replace(b', "samples": 20', b""),
        lambda town: forest([200, 20, 80])),
}  # fmt: skip


def _plant() -> None:
    for name, (rule, file, leak, twin) in LEAKS.items():

        @case(name, rule, file.rpartition(".")[2], STORED)
        def model(town: Town, file: str = file, leak: Make = leak, twin: Make = twin) -> Pair:
            rows = numbered(town)
            source = {"t": town.source(rows, "身份证号", roles=ROLES, identifiers=("姓名", "手机号"))}
            return Pair(report(source, {file: leak(town)}), report(source, {file: twin(town)}))


_plant()
