"""Files of every form with something in them that is not seen at once, and files that act: the makers and the table of
both, for the corpus and for the specification of the forms."""

from __future__ import annotations

import base64
import bz2
import gzip
import io
import json
import lzma
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable

from policies.verdict import Outcome

CLEAN = "示范路"
PASS, REVIEW, BLOCK = Outcome.PASS, Outcome.REVIEW, Outcome.BLOCK


def zipped(members: dict[str, bytes], comment: bytes = b"") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as box:
        box.comment = comment
        for name, content in members.items():
            box.writestr(name, content)
    return buffer.getvalue()


def tarred(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as box:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            box.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def workbook(change: Callable[..., None], word: str) -> bytes:
    import xlsxwriter

    buffer = io.BytesIO()
    book = xlsxwriter.Workbook(buffer)
    sheet = book.add_worksheet("汇总")
    sheet.write_column(0, 0, ["区", "东"])
    change(book, sheet, word)
    book.close()
    return buffer.getvalue()


def hidden_sheet(book: object, _sheet: object, word: str) -> None:
    more = book.add_worksheet("底稿")  # type: ignore[attr-defined]
    more.write_column(0, 0, ["注", word])
    more.hide()


def document(body: str, more: dict[str, str] | None = None) -> bytes:
    space = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
    parts = {"[Content_Types].xml": "<Types/>", "word/document.xml": f"<w:document {space}>{body}</w:document>"}
    return zipped({n: t.encode() for n, t in {**parts, **(more or {})}.items()})


def run_of(word: str) -> str:
    return f"<w:p><w:r><w:t>{word[:5]}</w:t></w:r><w:r><w:t>{word[5:]}</w:t></w:r></w:p>"


def pdf(word: str = "", *, attached: str = "", note: str = "", script: str = "") -> bytes:
    from pypdf import PdfWriter

    writer = PdfWriter()
    writer.add_blank_page(100, 100)
    writer.add_metadata({"/Subject": word})
    if attached:
        writer.add_attachment("底稿.txt", attached.encode())
    if script:
        from pypdf.generic import DictionaryObject, NameObject, TextStringObject

        action = {"/S": NameObject("/JavaScript"), "/JS": TextStringObject(script)}
        writer.root_object[NameObject("/OpenAction")] = DictionaryObject({NameObject(k): v for k, v in action.items()})
    if note:
        from pypdf.annotations import Text

        writer.add_annotation(0, Text(rect=(0, 0, 9, 9), text=note))
    buffer = io.BytesIO()
    writer.write(buffer)
    return buffer.getvalue()


COUNTS = "区,人数\n东,20\n".encode()
DRAWN = (b"iTXt", b"data\0\0\0\0\0" + COUNTS)


def png(*chunks: tuple[bytes, bytes], bare: bool = False) -> bytes:
    """A picture with the table it was drawn from; `bare`: with nothing but `chunks`."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.new("RGB", (4, 4), "white").save(buffer, "PNG")
    raw, end = buffer.getvalue()[:-12], buffer.getvalue()[-12:]
    for kind, body in (chunks if bare else (DRAWN, *chunks)):
        raw += struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    return raw + end


def jpeg(word: str = "") -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.new("RGB", (4, 4), "white").save(buffer, "JPEG", comment=word.encode() if word else None)
    return buffer.getvalue()


def parquet(word: str, how: str) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    column = pa.DictionaryArray.from_arrays(pa.array([0, 0]), pa.array(["东", word]))
    table = pa.table({"区": column if how == "dictionary" else pa.array(["东", word if how == "cell" else "西"])})
    if how == "metadata":
        table = table.replace_schema_metadata({"note": word})
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    return buffer.getvalue()


def notebook(word: str, how: str) -> bytes:
    output = {"output_type": "display_data", "data": {"text/plain": [word]}, "metadata": {}}
    cell = {"cell_type": "code", "source": [word if how == "source" else "1"], "metadata": {},
            "outputs": [output] if how == "output" else []}  # fmt: skip
    if how == "attachment":
        cell["attachments"] = {"a.txt": {"text/plain": word}}
    meta = {"note": word} if how == "metadata" else {}
    return json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": meta, "cells": [cell]}).encode()


def onnx_model(word: str, how: str) -> bytes:
    import onnx
    from onnx import TensorProto, helper

    start = helper.make_tensor("w", TensorProto.FLOAT, [2], [1.0, 2.0])
    words = helper.make_tensor("vocabulary", TensorProto.STRING, [2], [b"a", word.encode()])
    node = helper.make_node("Add", ["x", "w"], ["y"], doc_string=word if how == "doc" else "")
    shape = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [2]) for n in ("x", "y")]
    graph = helper.make_graph([node], "g", shape[:1], shape[1:], [start, *([words] if how == "vocabulary" else [])])
    model = helper.make_model(graph)
    if how == "metadata":
        helper.set_model_props(model, {"note": word})
    assert isinstance(model, onnx.ModelProto)
    return bytes(model.SerializeToString())


def table(word: str) -> bytes:
    return f"区,注\n东,{word}\n".encode()


Make = Callable[[str], bytes]
PLACES: list[tuple[str, str, Make]] = [
    ("csv cell", "t.csv", table),
    ("csv gb18030", "t.csv", lambda w: f"区域名称,注\n东山区,{w}\n".encode("gb18030")),
    ("csv utf-16", "t.csv", lambda w: f"区,注\n东,{w}\n".encode("utf-16")),
    ("tsv cell", "t.tsv", lambda w: f"区\t注\n东\t{w}\n".encode()),
    ("json cell", "t.json", lambda w: json.dumps([{"注": w}]).encode()),
    ("json deep", "t.json", lambda w: json.dumps({"模型": {"词表": [[w]]}}).encode()),
    ("json key", "t.json", lambda w: json.dumps({"a": {w: 1}}).encode()),
    ("json key twice", "t.json", lambda w: f'{{"a": "{w}", "a": "x"}}'.encode()),
    ("jsonl", "t.jsonl", lambda w: f'{{"a": "{w}"}}\n{{"a": "x"}}\n'.encode()),
    ("text", "t.txt", str.encode), ("markdown comment", "t.md", lambda w: f"# 报告\n<!-- {w} -->\n".encode()),
    ("html text", "t.html", lambda w: f"<html><p>{w[:4]}<b>{w[4:]}</b></p></html>".encode()),
    ("html comment", "t.html", lambda w: f"<html><p>a</p><!-- {w} --></html>".encode()),
    ("html attribute", "t.html", lambda w: f"<html><p title='{w}'>a</p></html>".encode()),
    ("html table", "t.html", lambda w: f"<html><table><tr><td>a<tr><td>{w}</table></html>".encode()),
    ("html data url", "t.html",
     lambda w: b"<html><img src='data:text/csv;base64," + base64.b64encode(table(w)) + b"'></html>"),
    ("xlsx cell", "t.xlsx", lambda w: workbook(lambda _b, s, x: s.write(1, 1, x), w)),
    ("xlsx comment", "t.xlsx", lambda w: workbook(lambda _b, s, x: s.write_comment(1, 0, x), w)),
    ("xlsx hidden sheet", "t.xlsx", lambda w: workbook(hidden_sheet, w)),
    ("xlsx defined name", "t.xlsx", lambda w: workbook(lambda b, _s, x: b.define_name("注", f'="{x}"'), w)),
    ("xlsx property", "t.xlsx", lambda w: workbook(lambda b, _s, x: b.set_properties({"comments": x}), w)),
    ("xlsx footer", "t.xlsx", lambda w: workbook(lambda _b, s, x: s.set_footer(x), w)),
    ("xlsx validation", "t.xlsx", lambda w: workbook(
        lambda _b, s, x: s.data_validation(0, 0, 1, 1, {"validate": "list", "source": ["a", x]}), w)),
    ("docx split runs", "t.docx", lambda w: document(run_of(w))),
    ("docx comment", "t.docx",
     lambda w: document("<w:p/>", {"word/comments.xml": f"<w:comments>{run_of(w)}</w:comments>"})),
    ("docx property", "t.docx", lambda w: document("<w:p/>", {"docProps/core.xml": f"<c><title>{w}</title></c>"})),
    ("docx custom xml", "t.docx", lambda w: document("<w:p/>", {"customXml/item1.xml": f"<a>{w}</a>"})),
    ("docx deleted text", "t.docx", lambda w: document(f"<w:p><w:del><w:delText>{w}</w:delText></w:del></w:p>")),
    ("pdf metadata", "t.pdf", lambda w: pdf(w)), ("pdf attachment", "t.pdf", lambda w: pdf(attached=w)),
    ("pdf note", "t.pdf", lambda w: pdf(note=w)), ("pdf trailing", "t.pdf", lambda w: pdf() + w.encode()),
    ("png text", "t.png", lambda w: png((b"tEXt", b"Comment\0" + w.encode("latin-1", "replace")))),
    ("png packed text", "t.png",
     lambda w: png((b"zTXt", b"Comment\0\0" + zlib.compress(w.encode("latin-1", "replace"))))),
    ("png chart data", "t.png", lambda w: png((b"iTXt", b"data\0\0\0\0\0" + table(w)), bare=True)),
    ("png own chunk", "t.png",
     lambda w: png((b"prVt", w.encode()))), ("png trailing", "t.png", lambda w: png() + w.encode()),
    ("jpeg comment", "t.jpg", jpeg), ("jpeg trailing", "t.jpeg", lambda w: jpeg() + w.encode()),
    *((f"parquet {how}", "t.parquet", lambda w, how=how: parquet(w, how))
      for how in ("cell", "metadata", "dictionary")),
    *((f"notebook {how}", "t.ipynb", lambda w, how=how: notebook(w, how))
      for how in ("source", "output", "attachment", "metadata")),
    *((f"onnx {how}", "t.onnx", lambda w, how=how: onnx_model(w, how)) for how in ("doc", "vocabulary", "metadata")),
    ("zip member", "t.zip", lambda w: zipped({"表/a.csv": table(w)})),
    ("zip member's name", "t.zip", lambda w: zipped({f"{w}.csv": table("a")})),
    ("zip comment", "t.zip", lambda w: zipped({"a.csv": table("a")}, w.encode())),
    ("zip in zip", "t.zip", lambda w: zipped({"b.zip": zipped({"a.csv": table(w)})})),
    ("tar member", "t.tar",
     lambda w: tarred({"a.csv": table(w)})), ("gz", "t.csv.gz", lambda w: gzip.compress(table(w))),
    ("bz2", "t.csv.bz2", lambda w: bz2.compress(table(w))), ("xz", "t.csv.xz", lambda w: lzma.compress(table(w))),
]  # fmt: skip


def external(kind: str) -> str:
    link = f'<Relationship Id="r1" Type="x/{kind}" Target="https://example.com/a" TargetMode="External"/>'
    return f"<Relationships>{link}</Relationships>"


def many_sheets() -> bytes:
    sheets = "".join(f'<sheet name="s{n}" sheetId="{n}" r:id="r{n}"/>' for n in range(10_000))
    return zipped({"xl/workbook.xml": f"<workbook>{sheets}</workbook>".encode()})


HOSTILE: list[tuple[str, str, bytes, str, Outcome]] = [
    ("script in a page", "t.html", b"<html><script>1</script></html>", "EXP-HIDDEN-01", BLOCK),
    ("event handler", "t.html", b"<html><p onclick='x()'>a</p></html>", "EXP-HIDDEN-01", BLOCK),
    ("picture from elsewhere", "t.html", b"<html><img src='https://example.com/a.png'></html>", "EXP-HIDDEN-01", BLOCK),
    ("plain page", "t.html", b"<html><p>a</p></html>", "EXP-HIDDEN-01", PASS),
    ("pdf with a script", "t.pdf", pdf(script="a"), "EXP-HIDDEN-01", BLOCK),
    ("pdf with an attachment", "t.pdf", pdf(attached="a"), "EXP-HIDDEN-01", REVIEW),
    ("plain pdf", "t.pdf", pdf(), "EXP-HIDDEN-01", PASS),
    ("template from elsewhere", "t.docx",
     document("<w:p/>", {"word/_rels/document.xml.rels": external("attachedTemplate")}),
     "EXP-HIDDEN-01", BLOCK),
    ("hyperlink", "t.docx", document("<w:p/>", {"word/_rels/document.xml.rels": external("hyperlink")}),
     "EXP-HIDDEN-01", PASS),
    ("comment", "t.xlsx", workbook(lambda _b, s, x: s.write_comment(1, 0, x), "a"), "EXP-HIDDEN-01", REVIEW),
    ("hidden sheet", "t.xlsx", workbook(hidden_sheet, "a"), "EXP-HIDDEN-01", REVIEW),
    ("hidden row", "t.xlsx", workbook(lambda _b, s, _x: s.set_row(1, None, None, {"hidden": True}), "a"),
     "EXP-HIDDEN-01", REVIEW),
    ("hidden column", "t.xlsx", workbook(lambda _b, s, _x: s.set_column(0, 0, None, None, {"hidden": True}), "a"),
     "EXP-HIDDEN-01", REVIEW),
    ("plain workbook", "t.xlsx", workbook(lambda _b, _s, _x: None, "a"), "EXP-HIDDEN-01", PASS),
    ("ten thousand sheets", "t.xlsx", many_sheets(), "EXP-FILE-01", BLOCK),
    ("picture and archive", "t.png", png() + zipped({"a.csv": table("a")}), "EXP-HIDDEN-01", BLOCK),
    ("plain picture", "t.png", png(), "EXP-HIDDEN-01", PASS),
    ("archive with a pickle", "t.zip", zipped({"a.txt": b"cos\nsystem\n(S'x'\ntR."}), "EXP-FILE-01", BLOCK),
    ("oldest pickle", "t.txt", b"cos\nsystem\n(S'x'\ntR.", "EXP-FILE-01", BLOCK),
    ("torch", "t.zip", zipped({"m/data.pkl": b"\x80\x02."}), "EXP-FILE-01", BLOCK),
    ("gzip bomb", "t.csv.gz", gzip.compress(bytes(10**8)), "EXP-ARCHIVE-01", BLOCK),
    ("a thousand and one members", "t.zip", zipped({f"{n}.txt": b"a" for n in range(1001)}), "EXP-ARCHIVE-01", BLOCK),
    ("truncated archive", "t.csv.gz", gzip.compress(table("a"))[:-9], "EXP-ARCHIVE-01", BLOCK),
    ("7z", "t.7z", b"7z\xbc\xaf\x27\x1c" + bytes(40), "EXP-FILE-01", BLOCK),
    ("dictionary beyond its column", "t.parquet", parquet("x", "dictionary"), "EXP-HIDDEN-01", REVIEW),
    ("reversed header", "t.csv", "区\u202e,人\n东,20\n".encode(), "EXP-HIDDEN-01", BLOCK),
    ("zero-width header", "t.csv", "区,区\u200b\n东,20\n".encode(), "EXP-HIDDEN-01", BLOCK),
    ("Cyrillic in a Latin header", "t.csv", "fee,f\u0435e\n1,20\n".encode(), "EXP-HIDDEN-01", REVIEW),
    ("one name twice", "t.csv", "区,区\n1,20\n".encode(), "EXP-HIDDEN-01", REVIEW),
    ("plain header", "t.csv", "区,人次\n东,20\n".encode(), "EXP-HIDDEN-01", PASS),
    ("deep json", "t.json", b"[" * 200_000, "EXP-FILE-01", BLOCK),
]  # fmt: skip
