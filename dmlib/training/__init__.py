"""Training: the loop, its recipes, and a session that is kept and gone on with."""
