"""A dataset release on disk: what its files are called, what they hold, and how they are read."""
