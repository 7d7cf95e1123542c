import pytest
import torch

from genolewm_train.muon import Muon, orthogonalise


@pytest.mark.parametrize("shape", [(8, 8), (16, 6), (6, 16)])
def test_singular_values_come_near_one(shape):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    u, _, v = torch.linalg.svd(matrix, full_matrices=False)
    found = orthogonalise(matrix)
    assert torch.linalg.svdvals(found).sub(1).abs().max() < 0.4
    # The nearest semi-orthogonal matrix keeps the singular vectors.
    assert torch.nn.functional.cosine_similarity(found.flatten(), (u @ v).flatten(), dim=0) > 0.97


def test_agrees_with_torch_up_to_bfloat16():
    start = torch.randn(12, 8, generator=torch.Generator().manual_seed(0))
    ours, theirs = (torch.nn.Parameter(start.clone()) for _ in range(2))
    own = Muon([ours], lr=0.1, momentum=0.9, weight_decay=0.1)
    reference = torch.optim.Muon([theirs], lr=0.1, momentum=0.9, weight_decay=0.1)
    for step in range(5):
        gradient = torch.randn(12, 8, generator=torch.Generator().manual_seed(step + 1))
        ours.grad, theirs.grad = gradient.clone(), gradient.clone()
        own.step()
        reference.step()
    moved, expected = ((p.detach() - start).flatten() for p in (ours, theirs))
    assert torch.nn.functional.cosine_similarity(moved, expected, dim=0) > 0.995
    assert moved.norm() / expected.norm() == pytest.approx(1.0, abs=0.03)
