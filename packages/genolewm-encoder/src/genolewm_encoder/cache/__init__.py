"""A cache of states of reference windows on disk."""

from genolewm_encoder.cache.cache import Problem, StateCache
from genolewm_encoder.cache.schema import SCHEMA_VERSION, StateBatch

__all__ = ["SCHEMA_VERSION", "Problem", "StateBatch", "StateCache"]
