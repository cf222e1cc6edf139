"""Tests of pytest-gepa; they mirror the package."""
