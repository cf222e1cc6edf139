"""The subcommands of `pytest-gepa`, one module each. They are imported when they are called."""
