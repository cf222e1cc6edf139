"""The search, pure: candidates, frontier, minibatches, merges, budget, and the ask/tell loop over them."""
