"""One page about a dataset release, for whoever is about to train on it."""
