"""Simulated models for trying the example without a key: a desk that follows its prompts, and a reflector.

Nothing here knows the example's test cases. What it does to an excerpt it does by reading the excerpt.
"""
