"""Encode the windows of a reference into a cache."""
