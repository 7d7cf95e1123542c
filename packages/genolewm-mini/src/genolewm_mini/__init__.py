"""The embedded demonstration model of GenoLeWM (`model/`) and a demo slice of the human genome (`demo/`). Data only."""

__version__ = "0.1.0"
