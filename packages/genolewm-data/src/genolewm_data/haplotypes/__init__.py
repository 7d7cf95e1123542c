"""Real haplotypes out of a phased VCF."""
