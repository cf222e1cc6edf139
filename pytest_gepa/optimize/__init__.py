"""An optimization: what drives the pure search with rollouts and reflections, shrinks its winner and confirms it."""
