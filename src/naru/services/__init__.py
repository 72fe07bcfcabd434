"""Use cases: the only code that changes anything. A class a noun, dependencies in the constructor."""
