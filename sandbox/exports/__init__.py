"""Exports: the checks of the gate, the verdict in two wordings, and the signed release package."""
