"""Training tuples: a window, its edits, and what has to be encoded for their targets."""

from genolewm_data.tuples.build import MULTI_EDITS, TupleBuilder, TupleOptions, WindowTuples, realised_mix
from genolewm_data.tuples.haplotype import tuple_of_variants
from genolewm_data.tuples.targets import (
    PlannedStep,
    PooledSpan,
    TargetStep,
    TupleTargets,
    plan_steps,
    plan_targets,
)
from genolewm_data.tuples.training import CorpusPlace, GenomePlace, TrainingTuple, WindowRef

__all__ = [
    "MULTI_EDITS",
    "CorpusPlace",
    "GenomePlace",
    "PlannedStep",
    "PooledSpan",
    "TargetStep",
    "TrainingTuple",
    "TupleBuilder",
    "TupleOptions",
    "TupleTargets",
    "WindowRef",
    "WindowTuples",
    "plan_steps",
    "plan_targets",
    "realised_mix",
    "tuple_of_variants",
]
