"""Tests of the child sessions."""
