"""The embedded demonstration model of GenoLeWM and a demo slice of the human genome. Data only."""
