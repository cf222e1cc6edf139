"""Tests of `pytest_gepa.trace`."""
