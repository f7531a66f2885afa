"""Haro: the three stages, from the sea to a batch, from a batch to a result, from a result to people."""

__version__ = "0.1.0"
