"""Score every possible substitution of a region."""
