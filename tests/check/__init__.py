"""Tests of the parts of a check, by module; whole checks are in tests/test_check.py."""
