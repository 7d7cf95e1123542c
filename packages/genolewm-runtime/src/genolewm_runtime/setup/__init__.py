"""Get an encoder, a reference and an annotation, and verify them: the only part that uses a network."""
