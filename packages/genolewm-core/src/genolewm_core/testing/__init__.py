"""Fakes and suites for tests of GenoLeWM and of what builds on it."""
