"""Tests mirror the rooms of the code."""
