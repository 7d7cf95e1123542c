"""Genome vocabulary: alleles, variants, edits, contigs, reference, VCF records."""
