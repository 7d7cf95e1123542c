"""Trainers of GenoLeWM: the embedded language model today, the world model next."""
