"""Tests of OrcaHello's weights as a Haro model."""
