"""Reads of a prompt file answered with the candidate's text, inside one process.

The standard library only, and relative imports: Python children load this package by its path.
"""
