"""Get an encoder, a reference and an annotation, and verify them."""
