"""Tests of what every run stands on, by module."""
