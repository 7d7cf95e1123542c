"""Look after a cache of reference states."""
