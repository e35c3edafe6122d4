"""A step as a whole: which parameters, by which backend, what is done to their gradients first."""
