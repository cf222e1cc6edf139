"""A check: are cases worse than under the base's prompts, or than a saved baseline says? Its state and its story."""
