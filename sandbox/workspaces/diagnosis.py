"""What is wrong with a statement, as a code with names: for an explanation in people's own words (`wording.py`).

Reads DuckDB's own error (its JSON form), the person's text and the names that exist, and looks for what really happens
to people who write SQL with a Chinese keyboard: full-width signs, names that nearly exist, values in double quotes,
functions of another database. What it does not recognise keeps DuckDB's text alone. Runs inside the jail.
"""

from __future__ import annotations

import difflib
import json
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import duckdb

from sandbox.workspaces import guard
from sandbox.workspaces.lexing import Token, quoted, tokens

# The only classes that leave the jail on real data; everything else is "failed".
PUBLIC = {
    "OutOfMemoryException": "memory_limit",
    "MemoryError": "memory_limit",
    "InterruptException": "time_limit",
    "ConversionException": "bad_value",
    "ConstraintException": "constraint",
    "OutOfRangeException": "out_of_range",
}
_OPEN = {**PUBLIC, "ParserException": "syntax", "BinderException": "binding", "CatalogException": "binding",
         "IOException": "file", "PermissionException": "not_allowed", "ProtocolError": "too_big"}  # fmt: skip
_NEAR = 5
FULL_WIDTH = {
    "（": "(", "）": ")", "，": ",", "；": ";", "“": "'", "”": "'", "‘": "'", "’": "'", "：": ":", "＝": "=", "＞": ">",
    "＜": "<", "＊": "*", "＋": "+", "－": "-", "／": "/", "．": ".", "。": ".", "、": ",", "【": "[", "】": "]", 
    "！": "!", "％": "%", "＂": '"', "＇": "'", "｜": "|", "｛": "{", "｝": "}",
}  # fmt: skip
_KEYWORDS = (
    "SELECT", "FROM", "WHERE", "GROUP", "ORDER", "HAVING", "LIMIT", "OFFSET", "JOIN", "LEFT", "RIGHT", "INNER", "FULL",
    "CROSS", "OUTER", "USING", "UNION", "DISTINCT", "BETWEEN", "INSERT", "INTO", "VALUES", "UPDATE", "DELETE", "CREATE",
    "TABLE", "VIEW", "REPLACE", "DESCRIBE", "SUMMARIZE", "CASE", "WHEN", "THEN", "ELSE", "WITH", "EXISTS", "LIKE",
    "ILIKE", "PARTITION", "QUALIFY", "WINDOW", "PIVOT", "DROP", "ALTER", "BEGIN", "COMMIT", "ROLLBACK", "EXPLAIN",
)  # fmt: skip
_CLAUSES = ("FROM", "WHERE", "GROUP", "HAVING", "QUALIFY", "ORDER", "LIMIT")
ELSEWHERE = {
    "nvl": "coalesce", "isnull": "ifnull", "to_date": "strptime", "str_to_date": "strptime", "to_char": "strftime",
    "date_format": "strftime", "getdate": "current_date", "sysdate": "current_date", "curdate": "current_date",
    "datediff": "date_diff", "dateadd": "date_add", "to_number": "CAST", "convert": "CAST", "charindex": "instr",
    "len_utf8": "length", "nvl2": "CASE", "decode": "CASE", "iif": "if", "wm_concat": "string_agg",
    "unix_timestamp": "epoch", "from_unixtime": "to_timestamp", "rand": "random", "months_between": "date_diff",
    "add_months": "date_add", "find_in_set": "list_contains", "stdev": "stddev", "percentile": "quantile_cont",
}  # fmt: skip
"""function of another database → what does it here"""


@dataclass(frozen=True, slots=True)
class _Case:
    """What a recogniser sees: the message, DuckDB's own fields, the text, the byte offset, and who knows the names."""

    kind: str
    text: str
    fields: Mapping[str, str]
    sql: str
    offset: int | None
    con: duckdb.DuckDBPyConnection | None
    granted: frozenset[str]

    @property
    def place(self) -> int | None:
        """The offset in characters."""
        return None if self.offset is None else len(self.sql.encode()[: self.offset].decode("utf-8", "replace"))


_Said = tuple[str, dict[str, str]] | tuple[str, dict[str, str], int]


def describe(
    error: BaseException, sql: str, mode: str, *, prefix: str = "", start: int = 0,
    con: duckdb.DuckDBPyConnection | None = None, granted: frozenset[str] = frozenset(),
) -> dict[str, Any]:  # fmt: skip
    """An error for the other side: everything on simulated data, the class alone on real data.

    `prefix` is what the platform put before `sql`, `start` the byte where the statement begins in it, so that places
    are counted in the person's own text.
    """
    name = type(error).__name__
    if mode != guard.SIMULATED:
        return {"kind": PUBLIC.get(name, "failed")}
    text, fields = _message(error)
    at = fields.get("position", "")
    offset = max(0, int(at) - len(prefix.encode())) + start if at.isdigit() else None
    case = _Case(name, text, fields, sql, offset, con, granted)
    code, facts, place = _with_place(_recognise(case), case.place)
    line, column = _place(sql, place)
    return {"kind": _OPEN.get(name, "failed"), "class": name, "text": text[:4000], "line": line, "column": column,
            "code": code, "facts": facts}  # fmt: skip


def of_refusal(
    con: duckdb.DuckDBPyConnection, refusal: guard.Refusal, sql: str, start: int, granted: frozenset[str]
) -> dict[str, Any]:
    """The same for a statement that the guard refused: where the name stands, and which names are near it."""
    case = _Case("Refused", "", {}, sql, None, con, granted)
    code, facts = f"refused_{refusal.code}", {"name": refusal.subject}
    after = len(sql.encode()[:start].decode("utf-8", "replace"))
    place = next((p for n in (refusal.subject, refusal.subject.rpartition(".")[2])
                  if (p := _spot(sql, n, after)) is not None), None)  # fmt: skip
    if refusal.code == "table":
        code, facts, _ = _with_place(_unknown_table(case, refusal.subject), None)
    elif refusal.code == "function":
        code, facts, _ = _with_place(_unknown_function(case, refusal.subject), None)
    if refusal.code in ("table", "function", "unreadable") and (wide := _full_width(case, refusal.subject)):
        code, facts, place = _with_place(wide, place)
    line, column = _place(sql, place)
    return {"code": code, "facts": facts, "line": line, "column": column}


def _with_place(said: _Said, place: int | None) -> tuple[str, dict[str, str], int | None]:
    """What a recogniser said, with the place it found itself or else the given one."""
    return (*said, place) if len(said) == 2 else said


def _message(error: BaseException) -> tuple[str, dict[str, str]]:
    """The engine's sentence and its fields (`errors_as_json`)."""
    head, _, rest = str(error).partition(": ")
    try:
        content = json.loads(rest)
        text = f"{head}: {content['exception_message']}"
    except (ValueError, TypeError, KeyError):
        return str(error), {}
    return text, {k: v for k, v in content.items() if isinstance(v, str)}


def _place(sql: str, place: int | None) -> tuple[int | None, int | None]:
    """Line and column, both from 1, counted in characters."""
    if place is None:
        return None, None
    before = sql[:place]
    return before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1


def _spot(sql: str, name: str, after: int = 0) -> int | None:
    """Where the name stands as a word of its own."""
    wanted = name.casefold()
    words = ("word", "quoted", "string")
    return next(
        (t.start for t in tokens(sql) if t.start >= after and t.kind in words
         and wanted in (t.name.casefold(), t.text[1:-1].casefold())), None,
    )  # fmt: skip


def _recognise(case: _Case) -> _Said:
    name = case.fields.get("name", "")
    if case.kind in ("ParserException", "BinderException", "CatalogException"):
        wide = _full_width(case, name if case.kind != "ParserException" else None)
        if wide:
            return wide
    for pattern, judge in _SENTENCES:
        if found := pattern.search(case.text):
            return judge(case, found)
    return _syntax(case) if case.kind == "ParserException" else ("", {})


# ---- the Chinese keyboard ----


def _full_width(case: _Case, name: str | None) -> _Said | None:
    """A full-width sign outside quotes: within `name` where one is at fault, else the first of the text."""
    for token in tokens(case.sql):
        if token.kind not in ("word", "sign") or (name is not None and token.text.casefold() != name.casefold()):
            continue
        for place, character in enumerate(token.text):
            if character in FULL_WIDTH:
                return "full_width", {"sign": character, "plain": FULL_WIDTH[character]}, token.start + place
    return None


def key(name: str) -> str:
    """A name as people mean it: half-width, lower case, without blanks and underscores."""
    return re.sub(r"[\s_]+", "", unicodedata.normalize("NFKC", name)).casefold()


def near(name: str, known: Iterable[str]) -> list[str]:
    """The known names closest to `name`, best first: equal but for form, then by edit distance, then by part."""
    wanted = key(name)
    ranked = []
    for one in dict.fromkeys(known):
        form = key(one)
        if form == wanted:
            rank = 2.0
        else:
            part = 0.7 if wanted and (wanted in form or form in wanted) else 0.0
            rank = max(part, difflib.SequenceMatcher(None, wanted, form, autojunk=False).ratio())
        if rank >= (0.5 if len(wanted) <= 3 else 0.6):
            ranked.append((-rank, one))
    return [one for _, one in sorted(ranked)[:_NEAR]]


def _list(names: Iterable[str]) -> str:
    return "、".join(quoted(n) for n in list(names)[:20])


# ---- names ----


def _columns(case: _Case) -> dict[str, list[str]]:
    """Column → tables that have it; of the tables the text names, else of all."""
    if case.con is None:
        return {}
    try:
        pairs = case.con.execute(
            "SELECT table_name, column_name FROM duckdb_columns() WHERE NOT internal LIMIT 50000"
        ).fetchall()
    except duckdb.Error:
        return {}
    found: dict[str, list[str]] = {}
    for table, column in pairs:
        found.setdefault(str(column), []).append(str(table))
    return found


def _unknown_column(case: _Case, found: re.Match[str]) -> _Said:
    name = found["name"]
    columns = _columns(case)
    words = {t.name.casefold() for t in tokens(case.sql) if t.kind in ("word", "quoted")}
    here = [c for c, tables in columns.items() if any(t.casefold() in words for t in tables)]
    token = _token_at(case)
    close = near(name, here or columns)
    if token is not None and token.kind == "quoted" and not any(key(c) == key(name) for c in close):
        return "quoted_value", {"name": name, "near": _list(close)}
    if close and key(close[0]) == key(name):
        return "name_form", {"name": name, "near": quoted(close[0])}
    elsewhere = [t for c, tables in columns.items() if key(c) == key(name) for t in tables]
    if elsewhere and not close:
        return "other_table", {"name": name, "tables": _list(elsewhere)}
    if close:
        return "unknown_column", {"name": name, "near": _list(close)}
    return "no_column", {"name": name, "known": _list(here)}


def _unknown_in_table(case: _Case, found: re.Match[str]) -> _Said:
    close = near(found["name"], re.findall(r'"((?:[^"]|"")+)"', found["rest"])) or near(found["name"], _columns(case))
    facts = {"name": found["name"], "table": found["table"]}
    if close:
        return "unknown_in_table", facts | {"near": _list(close)}
    return "no_column_in_table", facts | {"known": _list(re.findall(r'"((?:[^"]|"")+)"', found["rest"]))}


def _unknown_table(case: _Case, name: str) -> _Said:
    own: list[str] = []
    if case.con is not None:
        try:
            own = sorted(guard.own_tables(case.con))
        except duckdb.Error:
            own = []
    known = sorted({*case.granted, *own})
    close = near(name.rpartition(".")[2], known)
    if re.search(r"[/\\]|\.(csv|parquet|xlsx?|json|txt|tsv)$", name, re.IGNORECASE):
        return "file_as_table", {"name": name}
    if close:
        return "unknown_table", {"name": name, "near": _list(close)}
    return "no_table", {"name": name, "known": _list(known)}


def _unknown_function(case: _Case, name: str) -> _Said:
    plain = name.casefold()
    if plain in guard.REFUSED_FUNCTIONS:
        return "refused_function", {"name": name}
    if plain in ELSEWHERE:
        return "elsewhere", {"name": name, "here": ELSEWHERE[plain]}
    known = guard.known_functions(case.con) if case.con is not None else frozenset()
    close = near(name, (n for n in known if n.isidentifier() and n[:1] == plain[:1]))[:3]
    return ("unknown_function", {"name": name, "near": "、".join(close)}) if close else ("no_function", {"name": name})


def _token_at(case: _Case) -> Token | None:
    place = case.place
    return next((t for t in tokens(case.sql) if place is not None and t.start <= place < t.end), None)


def _missing_entry(case: _Case, found: re.Match[str]) -> _Said:
    what, name = found["what"].casefold(), found["name"]
    if "function" in what:
        return _unknown_function(case, name)
    if what == "table":
        code, facts, place = _with_place(_unknown_table(case, name), case.place)
        place = place if place is not None else _spot(case.sql, name)
        return (code, facts) if place is None else (code, facts, place)
    return "missing", {"name": name, "what": found["what"]}


def _referenced_table(case: _Case, found: re.Match[str]) -> _Said:
    place = _spot(case.sql, found["name"])
    facts = {"name": found["name"], "known": "、".join(re.findall(r'"((?:[^"]|"")+)"', found["rest"]))}
    return ("table_alias", facts) if place is None else ("table_alias", facts, place)


# ---- syntax ----


def _unterminated(case: _Case, _found: re.Match[str] | None = None) -> _Said:
    opened = next((t for t in tokens(case.sql) if t.kind == "open"), None)
    sign = opened.text[0] if opened else "'"
    place = opened.start if opened else case.place
    code = "open_comment" if sign == "/" else "open_quote"
    return (code, {"sign": sign}, place) if place is not None else (code, {"sign": sign})


def _syntax(case: _Case) -> _Said:
    """A syntax error: a mistyped keyword at or before the place, a habit of another database, or a text cut short."""
    every = [t for t in tokens(case.sql) if t.kind != "comment"]
    opened = next((t for t in every if t.kind == "open"), None)
    if opened is not None:
        return _unterminated(case)
    here = next((n for n, t in enumerate(every) if case.place is not None and t.start <= case.place < t.end), None)
    if here is None:
        return "syntax", {"near": ""}
    now, before = every[here], every[here - 1] if here else None
    if before is not None and before.text.upper() == "TOP":
        return "top", {"number": now.text}, before.start
    if now.text == "," and before is not None and here > 1 and every[here - 2].text.upper() == "LIMIT":
        return "limit_comma", {"number": before.text}
    for token in (now, before, every[here - 2] if here > 1 else None):
        if token is not None and token.kind == "word" and (word := _mistyped(token.text)):
            return "keyword", {"name": token.text, "near": word}, token.start
    words = [t.text.upper() for t in every[: here + 1] if t.kind == "word"]
    if now.text.upper() in _CLAUSES:
        rank = _CLAUSES.index(now.text.upper())
        if late := next((w for w in reversed(words[:-1]) if w in _CLAUSES[rank + 1 :]), None):
            return "clause_order", {"near": now.text.upper(), "after": late}
    if words.count("JOIN") > words.count("ON") + words.count("USING") and here >= len(every) - 2:
        return "join_on", {}
    if _unbalanced(every) > 0:
        return "open_bracket", {}
    if _unbalanced(every) < 0:
        return "extra_bracket", {}
    hanging = now.text.upper() in _KEYWORDS or now.text in (",", "=", "<", ">", "+", "-", "*", "/", "(")
    if here == len(every) - 1 and hanging:
        return "unfinished", {"near": now.text}
    if before is not None and before.text == ",":
        return "extra_comma", {"near": now.text}, before.start
    return "syntax", {"near": now.text}


def _mistyped(word: str) -> str | None:
    """The keyword that `word` nearly is: one letter wrong, missing, added, or two exchanged."""
    upper = word.upper()
    if upper in _KEYWORDS or len(upper) < 3 or not upper.isascii():
        return None
    return next((k for k in _KEYWORDS if abs(len(k) - len(upper)) < 2 and _one_slip(upper, k)), None)


def _one_slip(a: str, b: str) -> bool:
    if len(a) == len(b):
        different = [n for n, (x, y) in enumerate(zip(a, b, strict=True)) if x != y]
        if len(different) == 2:
            n, m = different
            return m == n + 1 and a[n] == b[m] and a[m] == b[n]
        return len(different) == 1
    short, long = sorted((a, b), key=len)
    return any(long[:n] + long[n + 1 :] == short for n in range(len(long)))


def _unbalanced(every: list[Token]) -> int:
    signs = [t.text for t in every if t.kind == "sign"]
    return signs.count("(") - signs.count(")")


# ---- sentences of DuckDB, in the order in which they are tried ----


def _says(code: str, **fixed: str) -> Callable[[_Case, re.Match[str]], _Said]:
    """The code with the named groups of the sentence as facts."""

    def judge(_case: _Case, found: re.Match[str]) -> _Said:
        return code, fixed | {k: v for k, v in found.groupdict().items() if v is not None}

    return judge


def _date(case: _Case, found: re.Match[str]) -> _Said:
    return "date_format", {"value": found["value"], "like": _as_iso(found["value"])}


def _as_iso(value: str) -> str:
    """The date that `value` probably means, as it is written here; an example where it tells none."""
    parts = [int(p) for p in re.findall(r"\d+", value)][:3]
    if len(parts) == 1 and len(str(parts[0])) == 8:
        number = parts[0]
        parts = [number // 10_000, number // 100 % 100, number % 100]
    if len(parts) == 3 and 1000 <= parts[0] <= 9999 and 1 <= parts[1] <= 12 and 1 <= parts[2] <= 31:
        return f"{parts[0]:04d}-{parts[1]:02d}-{parts[2]:02d}"
    return "2026-03-02"


def _types(case: _Case, found: re.Match[str]) -> _Said:
    call, given = found["call"], found["given"]
    if not call.isidentifier():
        return "operator_types", {"name": call, "types": given}
    text_sum = call in ("sum", "avg", "mean", "median", "stddev") and given == "VARCHAR"
    return ("aggregate_text" if text_sum else "argument_types"), {"name": call, "types": given}


_SENTENCES: tuple[tuple[re.Pattern[str], Callable[[_Case, re.Match[str]], _Said]], ...] = tuple(
    (re.compile(pattern, re.DOTALL), judge)
    for pattern, judge in (
        (r'Referenced column "(?P<name>.*?)" (was )?not found', _unknown_column),
        (r'Table "(?P<table>.*?)" does not have a column named "(?P<name>.*?)"(?P<rest>.*)', _unknown_in_table),
        (r'Referenced table "(?P<name>.*?)" not found(?P<rest>.*)', _referenced_table),
        (r"^Catalog Error: (?P<what>[\w ]+?) with name \"?(?P<name>.*?)\"? does not exist", _missing_entry),
        (r"(?P<what>\w+) with name \"?(?P<name>.*?)\"? already exists", _says("exists")),
        (r'column "(?P<name>.*?)" must appear in the GROUP BY', _says("group_by")),
        (r"WHERE clause cannot contain aggregates", _says("aggregate_in_where")),
        (r"WHERE clause cannot contain window", _says("window_in_where")),
        (r"aggregate function calls cannot be nested", _says("nested_aggregate")),
        (r"Ambiguous reference to column name \"(?P<name>.*?)\" \(use: (?P<choices>.*?)\)", _says("ambiguous")),
        (r"Ambiguous reference to table|[Dd]uplicate alias \"(?P<name>.*?)\"", _says("same_table_twice")),
        (r"unterminated|unclosed|zero-length delimited identifier", _unterminated),
        (r"invalid (?:date|timestamp) field format: \"(?P<value>.*?)\"", _date),
        (r"(?:date|timestamp) field value out of range: \"(?P<value>.*?)\"", _says("date_range")),
        (r"Could not parse string \"(?P<value>.*?)\" according to format specifier \"(?P<format>.*?)\"",
         _says("strptime")),
        (r"Could not convert string '(?P<value>.*?)' to (?P<type>\w+)", _says("convert")),
        (r"Type (?P<type>\w+) with value (?P<value>\S+) can't be cast", _says("cast_range")),
        (r"Overflow in|Out of Range Error", _says("overflow")),
        (r"[Dd]ivision by zero", _says("division")),
        (r"Cannot compare values of type (?P<left>.*?) and type (?P<right>\S+)", _says("compare_types")),
        (r"No function matches the given name and argument types '(?P<call>.*?)\((?P<given>.*?)\)'", _types),
        (r"Window functions are not supported here", _says("over_missing")),
        (r"More than one row returned by a subquery", _says("subquery_rows")),
        (r"Subquery returns (?P<count>\d+) columns", _says("subquery_columns")),
        (r"Set operations can only apply", _says("union_columns")),
        (r'table "(?P<name>.*?)" has (?P<count>\d+) columns but (?P<given>\d+) values', _says("insert_columns")),
        (r"ORDER term out of range - should be between 1 and (?P<count>\d+)", _says("order_number")),
        (r"Values were not provided for the following (?:prepared statement )?parameters: (?P<name>.*)",
         _says("parameter_missing")),
        (r"Mixing named and positional parameters", _says("parameter_mixed")),
        (r"no transaction is active", _says("no_transaction")),
        (r"cannot start a transaction within", _says("nested_transaction")),
        (r"[Dd]uplicate key", _says("duplicate_key")),
        (r"NOT NULL constraint failed: (?P<name>\S+)", _says("not_null")),
        (r"CHECK constraint failed", _says("check_constraint")),
        (r"is not a table|Can only (?:update|delete|insert)|Cannot (?:insert|update|delete|modify)",
         _says("read_only")),
        (r"missing [\])]|invalid escape|regex|no argument for repetition", _says("pattern")),
    )
)
