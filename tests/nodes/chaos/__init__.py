"""Everything at once: nodes, a database and a store that die, slow down and lie, and clients that keep count."""
