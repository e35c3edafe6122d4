"""How the methods move: rules going down surfaces, as pictures and as a page that computes them."""
