"""The functions a judged text may call, by DuckDB's names. What is not here is denied, whatever it does.

A scalar function must depend on its arguments alone: no clock, no session, no random number, no file. An aggregate must
not depend on the order of rows and must give the same value whenever it is run.
"""

from __future__ import annotations

AGGREGATES = frozenset({
    "count", "count_star", "count_if", "sum", "avg", "mean", "min", "max", "median", "quantile_cont", "quantile_disc",
    "quantile", "stddev", "stddev_samp", "stddev_pop", "variance", "var_samp", "var_pop", "corr", "covar_samp",
    "covar_pop", "bool_and", "bool_or", "mad", "skewness", "kurtosis",
})  # fmt: skip

WINDOWS = frozenset({
    "row_number", "rank", "dense_rank", "rank_dense", "percent_rank", "cume_dist", "ntile", "lag", "lead",
    "first_value", "first", "last_value", "last", "nth_value",
})  # fmt: skip

OPERATORS = frozenset({
    "+", "-", "*", "/", "//", "%", "||", "~~", "!~~", "~~*", "!~~*", "~~~", "**", "^", "&", "|", "<<", ">>", "~", "!",
    "like_escape", "not_like_escape", "ilike_escape", "not_ilike_escape",
})  # fmt: skip

_NUMBERS = frozenset({
    "abs", "ceil", "ceiling", "floor", "round", "round_even", "trunc", "sign", "sqrt", "cbrt", "exp", "ln", "log",
    "log2", "log10", "pow", "power", "mod", "fmod", "divide", "fdiv", "add", "subtract", "multiply", "greatest",
    "least", "isnan", "isinf", "isfinite", "pi", "sin", "cos", "tan", "asin", "acos", "atan", "atan2", "radians",
    "degrees", "even", "factorial", "gcd", "lcm", "bit_count",
})  # fmt: skip

_TEXTS = frozenset({
    "lower", "upper", "lcase", "ucase", "trim", "ltrim", "rtrim", "left", "right", "substring", "substr", "length",
    "len", "char_length", "character_length", "strlen", "concat", "concat_ws", "contains", "starts_with", "prefix",
    "suffix", "ends_with", "position", "strpos", "instr", "replace", "translate", "reverse", "repeat", "lpad", "rpad",
    "split_part", "regexp_matches", "regexp_full_match", "regexp_replace", "regexp_extract", "ascii", "chr", "unicode",
    "ord", "nfc_normalize", "strip_accents", "format", "printf", "levenshtein", "damerau_levenshtein", "jaccard",
    "jaro_similarity", "jaro_winkler_similarity", "hamming", "md5", "sha256", "hash",
})  # fmt: skip

_DATES = frozenset({
    "date_part", "datepart", "date_trunc", "datetrunc", "date_diff", "datediff", "date_sub", "datesub", "date_add",
    "year", "quarter", "month", "day", "dayofmonth", "dayofweek", "dayofyear", "weekday", "isodow", "week",
    "weekofyear", "yearweek", "isoyear", "hour", "minute", "second", "monthname", "dayname", "last_day", "make_date",
    "make_time", "make_timestamp", "strftime", "strptime", "try_strptime", "time_bucket", "epoch", "epoch_ms",
    "to_days", "to_months", "to_years", "to_weeks", "to_hours", "to_minutes", "to_seconds", "to_quarters",
})  # fmt: skip

_OTHERS = frozenset({"coalesce", "ifnull", "nullif", "if", "row", "constant_or_null"})

SCALARS = _NUMBERS | _TEXTS | _DATES | _OTHERS
