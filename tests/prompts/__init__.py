"""Tests of `pytest_gepa.prompts`."""
