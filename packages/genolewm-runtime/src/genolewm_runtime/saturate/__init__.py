"""`marginal_llr` of every possible substitution of regions, as tables. docs/saturate.md"""
