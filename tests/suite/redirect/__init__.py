"""Tests of the overlay inside one process."""
