"""Workspaces: a jail per process, a worker inside it, a broker outside it.

This file stays empty of imports: the package folder is mounted inside jails, where only the standard library, DuckDB
and Arrow exist.
"""
