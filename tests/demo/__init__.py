"""Tests of the demo: the synthetic sea and the station that publishes it."""
