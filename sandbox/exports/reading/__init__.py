"""Readers of merchants' files. Everything here but `jailed` runs in the jail."""
