"""A training stream of batches from a dataset release. Needs PyTorch, which the extra `torch` brings."""

from genolewm_core.errors import DeploymentError

try:
    import torch as _torch  # noqa: F401
except ModuleNotFoundError:
    raise DeploymentError(
        "backend-missing",
        "The loader of training batches needs PyTorch, which is not installed.",
        expected="torch 2.6 or later",
        next_step="pip install 'genolewm-data[torch]'",
    ) from None

from genolewm_data.loader.batch import ALLELE_PAD, TrainingBatch
from genolewm_data.loader.cursor import Cursor
from genolewm_data.loader.dataset import GenoLeWMDataset
from genolewm_data.loader.order import WindowOrder
from genolewm_data.loader.passes import WindowPass, window_pass
from genolewm_data.loader.validation import GenoLeWMValDataset

__all__ = [
    "ALLELE_PAD",
    "Cursor",
    "GenoLeWMDataset",
    "GenoLeWMValDataset",
    "TrainingBatch",
    "WindowOrder",
    "WindowPass",
    "window_pass",
]
