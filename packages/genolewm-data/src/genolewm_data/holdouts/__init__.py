"""What is kept away from training: regions, variants and haplotype blocks, and the check that it was."""
