"""A rule traced: its symbols, its program, what is rewritten there, its scalars, its formula."""
