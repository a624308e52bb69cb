"""Readers of models: every text, every stored tensor as a table, and what the model is made of. Nothing is run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sandbox.exports.places import within
from sandbox.exports.reading.found import MODEL, Found, TooMuch

_DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml", "ai.onnx.training", "ai.onnx.preview.training"})
_MOST_VALUES = 20_000_000
_SHORTEST = 2


def read_onnx(path: Path, place: str, found: Found) -> None:
    """Doc strings, names, vocabularies, attributes and initialisers; external data and foreign operators are
    problems."""
    import onnx

    if path.stat().st_size > found.bounds.unpacked_mb << 20:
        raise TooMuch("unpacked")
    model = onnx.ModelProto()
    model.ParseFromString(path.read_bytes())
    if not model.graph.node and not model.graph.initializer:
        raise ValueError("no graph")
    if model.ByteSize() < path.stat().st_size or _unknown(model):
        found.problem("trailing", place)
    words = [model.doc_string, model.producer_name, model.producer_version, model.domain, model.model_version]
    words += [f"{one.key} {one.value}" for one in model.metadata_props]
    found.text(within(place, part="metadata"), "\n".join(str(w) for w in words if w))
    graphs, operators = [model.graph], list(_operators(model.graph))
    for function in model.functions:
        found.problem("operator", within(place, part="functions"))
        found.text(within(place, part="functions"), function.doc_string)
    while graphs:
        inner = _graph(graphs.pop(), place, found)
        operators += [one for graph in inner for one in _operators(graph)]
        graphs += inner
    found.table(within(place, part="model"), MODEL, operators, hidden=True)


def _operators(graph: Any) -> Iterator[list[str | None]]:
    """What is stored beside the operators, and for each of them."""
    stored = [*graph.initializer, *(sparse.values for sparse in graph.sparse_initializer)]
    yield ["", str(sum(_size(tensor) for tensor in stored)), None, None]
    for node in graph.node:
        modes = next((list(a.strings) for a in node.attribute if a.name == "nodes_modes"), None)
        trees = next((list(a.ints) for a in node.attribute if a.name == "nodes_treeids"), [])
        values = sum(len(a.floats) + len(a.ints) + sum(map(_size, (*([a.t] if a.HasField("t") else ()), *a.tensors)))
                     for a in node.attribute)  # fmt: skip
        leaves = None
        if modes is not None:  # a list without the number of its tree belongs to one tree
            trees = trees if len(trees) == len(modes) else [0] * len(modes)
            ends = Counter(tree for tree, mode in zip(trees, modes, strict=True) if mode == b"LEAF")
            leaves = max(ends.values(), default=0)
        yield [node.op_type, str(values), None if leaves is None else str(leaves), None]


def _size(tensor: Any) -> int:
    size = 1
    for length in tensor.dims:
        size *= max(int(length), 0)
    return size


KINDS = frozenset({"linear", "logistic", "tree", "forest"})
"""Models whose parameters may leave as JSON: `{"model": "linear", "parameters": {name: number}}`, or for trees
`{"model": "forest", "trees": [{"split": …, "left": …, "right": …}]}` with `samples` and `value` at every leaf."""


def parameters_of(value: Any) -> list[list[str | None]] | None:
    """What a model written as JSON is made of; None where it is no such model."""
    if not isinstance(value, Mapping) or value.get("model") not in KINDS:
        return None
    trees = value.get("trees", [])
    if not trees:
        return [[str(value["model"]), str(_numbers(value.get("parameters"))), None, None]]
    if not isinstance(trees, list):
        raise ValueError("trees")
    return [_tree(str(value["model"]), tree) for tree in trees]


def _numbers(value: Any) -> int:
    if isinstance(value, Mapping):
        return sum(map(_numbers, value.values()))
    if isinstance(value, list):
        return sum(map(_numbers, value))
    return int(isinstance(value, int | float) and not isinstance(value, bool))


def _tree(model: str, tree: Any) -> list[str | None]:
    """A leaf that does not say its samples has none."""
    leaves, nodes, samples = 0, [tree], []
    while nodes:
        node = nodes.pop()
        if not isinstance(node, Mapping):
            raise ValueError("node")
        below = [node[side] for side in ("left", "right") if side in node]
        nodes += below
        if not below:
            leaves += 1
            told = node.get("samples", 0)
            samples.append(told if type(told) is int and told >= 0 else 0)
    return [model, str(_numbers(tree)), str(leaves), str(min(samples))]


def _unknown(model: Any) -> bool:
    """Fields that the format does not know are carried along unseen."""
    from google.protobuf import unknown_fields  # type: ignore[import-untyped]

    return len(unknown_fields.UnknownFieldSet(model)) > 0


def _graph(graph: Any, place: str, found: Found) -> list[Any]:
    from onnx import defs

    inner: list[Any] = []
    words = [graph.doc_string, graph.name, *(i.name for i in (*graph.input, *graph.output, *graph.value_info))]
    words += [i.doc_string for i in (*graph.input, *graph.output, *graph.value_info)]
    for tensor in graph.initializer:
        _tensor(tensor, f"initializer {tensor.name}", place, found)
    for sparse in graph.sparse_initializer:
        _tensor(sparse.values, f"sparse {sparse.values.name}", place, found)
    for node in graph.node:
        if node.domain not in _DOMAINS or not defs.has(node.op_type, node.domain):
            found.problem("operator", within(place, part=f"node {node.name}"))
        words += [node.doc_string, node.name, node.op_type]
        for attribute in node.attribute:
            inner += _attribute(attribute, node, place, found)
    found.text(within(place, part="graph"), "\n".join(w for w in words if w))
    return inner


def _attribute(attribute: Any, node: Any, place: str, found: Found) -> list[Any]:
    part = f"node {node.name or node.op_type} {attribute.name}"
    texts = [attribute.s, *attribute.strings]
    found.text(within(place, part=part), "\n".join(t.decode("utf-8", "replace") for t in texts if t))
    for values in (attribute.floats, attribute.ints):
        if len(values) >= _SHORTEST:
            found.table(within(place, part=part), [attribute.name], ([_number(v)] for v in values), hidden=True)
    for tensor in (*([attribute.t] if attribute.HasField("t") else ()), *attribute.tensors):
        _tensor(tensor, part, place, found)
    return [*([attribute.g] if attribute.HasField("g") else ()), *attribute.graphs]


def _tensor(tensor: Any, part: str, place: str, found: Found) -> None:
    """A stored tensor as a table: its last dimension gives the columns, so that stored rows are rows."""
    from onnx import TensorProto, numpy_helper

    where = within(place, part=part)
    if tensor.external_data or tensor.data_location == TensorProto.EXTERNAL:
        found.problem("external_data", where)
        return
    found.text(where, tensor.doc_string)
    array = numpy_helper.to_array(tensor)
    if array.size < _SHORTEST:
        return
    if array.size > _MOST_VALUES:
        raise TooMuch("unpacked")
    width = array.shape[-1] if array.ndim > 1 else 1
    if width > found.bounds.columns:
        width = 1
    found.table(where, [f"{n + 1}" for n in range(width)], _rows(array.reshape(-1, width)), hidden=True)


def _rows(array: Any) -> Iterator[list[str]]:
    for row in array:
        yield [_number(value) for value in row.tolist()]


def _number(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, float):
        short = f"{value:.7g}"  # float32 has no more
        return short if "e" not in short else repr(value)
    return str(value)
