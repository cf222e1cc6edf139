"""From failing rollouts to a proposed edit of one prompt: evidence, request, model, reply."""
