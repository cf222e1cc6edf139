"""Tests of the parts of an optimization, by module; whole runs are in tests/test_optimize.py."""
