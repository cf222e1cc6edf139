"""One result of a run, rendered for the terminal, as JSON, as Markdown and as patches."""
