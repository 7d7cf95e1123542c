"""Genome and scoring core of GenoLeWM. Importing it does nothing; import the module you need."""

__version__ = "0.1.0"
