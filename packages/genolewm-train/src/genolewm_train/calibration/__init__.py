"""Builds a model's calibration tables from common variants; see docs/calibration.md."""
