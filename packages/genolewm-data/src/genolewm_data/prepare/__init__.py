"""Variants of released files as Parquet shards."""
