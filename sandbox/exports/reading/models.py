"""Reader of ONNX models: every text, and every stored tensor as a table. Nothing is run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sandbox.exports.places import within
from sandbox.exports.reading.found import Found, TooMuch

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
    graphs = [model.graph]
    for function in model.functions:
        found.problem("operator", within(place, part="functions"))
        found.text(within(place, part="functions"), function.doc_string)
    while graphs:
        graphs += _graph(graphs.pop(), place, found)


def _unknown(model: Any) -> bool:
    """Fields that the format does not know are carried along unseen."""
    from google.protobuf import unknown_fields  # type: ignore[import-untyped]

    return len(unknown_fields.UnknownFieldSet(model)) > 0


def _graph(graph: Any, place: str, found: Found) -> list[Any]:
    inner: list[Any] = []
    words = [graph.doc_string, graph.name, *(i.name for i in (*graph.input, *graph.output, *graph.value_info))]
    words += [i.doc_string for i in (*graph.input, *graph.output, *graph.value_info)]
    for tensor in graph.initializer:
        _tensor(tensor, f"initializer {tensor.name}", place, found)
    for sparse in graph.sparse_initializer:
        _tensor(sparse.values, f"sparse {sparse.values.name}", place, found)
    for node in graph.node:
        if node.domain not in _DOMAINS:
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
