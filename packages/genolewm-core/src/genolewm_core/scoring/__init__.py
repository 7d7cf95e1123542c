"""Scoring: six-mer tokens, cells, trunks and branches, backends, scores."""
