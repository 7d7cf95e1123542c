"""Score the VCFs of a cohort: each by itself, as `score` does it, with one account of them all."""
