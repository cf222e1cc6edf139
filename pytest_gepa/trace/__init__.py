"""What a run said: capture of model calls, their records, the response cache, redaction and attribution."""
