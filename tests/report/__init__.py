"""Tests of the report, by module."""
