"""Running cases under a candidate: child sessions, the overlay of prompt files, runners, outcomes."""
