"""Ways to run a step: one folder each."""
