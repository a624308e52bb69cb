"""Engines that draw simulated rows from a protected view; one small interface, three implementations."""
