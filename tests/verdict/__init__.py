"""Tests of `pytest_gepa.verdict`."""
