"""`geno-lewm dataset`: releases of training data are built, verified and described."""
