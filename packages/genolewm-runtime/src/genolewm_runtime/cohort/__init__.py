"""Score the VCFs of a cohort."""
