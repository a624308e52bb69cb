"""基准测试: each module with a function `run` is one benchmark of `pds bench`; it returns `figures.Figure` rows."""
