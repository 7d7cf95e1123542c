"""The conformance suite passes on the backend in plain numpy, and catches the mistakes it is there for."""

import dataclasses

import numpy as np
import pytest

from genolewm_core.artifacts.architectures import ARCHITECTURES, check_model, rope_inv_freq, tensor_shapes
from genolewm_core.errors import ProvenanceError
from genolewm_core.testing import conformance
from genolewm_core.testing.conformance import CHECKS, TEST_ARCHITECTURE, check_name, random_model
from genolewm_core.testing.numpy_backend import NumpyBackend

TENSORS = random_model(TEST_ARCHITECTURE)


@pytest.mark.parametrize("check", CHECKS, ids=check_name)
def test_numpy_backend_conforms(check):
    check(NumpyBackend(TEST_ARCHITECTURE, TENSORS, 2))


def _positions_from_zero(pack):
    return dataclasses.replace(pack, positions=np.arange(len(pack.token_ids), dtype=np.int32))


def _one_branch(pack):
    return dataclasses.replace(pack, branch=np.zeros_like(pack.branch))


def _one_token_too_many(pack):
    return dataclasses.replace(pack, prefix_tok=pack.prefix_tok + 1)


@pytest.mark.parametrize("mistake", [_positions_from_zero, _one_branch, _one_token_too_many])
def test_mistakes_with_packs_are_caught(mistake):
    class Wrong(NumpyBackend):
        def extend(self, prefix, pack):
            return super().extend(prefix, mistake(pack))

    with pytest.raises(AssertionError, match="branch from token"):
        conformance.check_ends(Wrong(TEST_ARCHITECTURE, TENSORS, 2))


def test_a_prefix_that_is_changed_is_caught():
    class Growing(NumpyBackend):
        def extend(self, prefix, pack):
            rows = super().extend(prefix, pack)
            prefix.cache[0] = tuple(array * 1.001 for array in prefix.cache[0])
            return rows

    with pytest.raises(AssertionError, match="other bytes"):
        conformance.check_repeatable(Growing(TEST_ARCHITECTURE, TENSORS, 2))


def test_states_after_the_final_norm_are_caught():
    class Normed(NumpyBackend):
        def open(self, trunk):
            prefix = super().open(trunk)
            weighted = prefix.rows.states * TENSORS["model.norm.weight"]
            return dataclasses.replace(prefix, rows=dataclasses.replace(prefix.rows, states=weighted))

    with pytest.raises(AssertionError, match="root mean square"):
        conformance.check_normalised(Normed(TEST_ARCHITECTURE, TENSORS, 2))


@pytest.mark.parametrize(
    ("name", "n_parameters"),
    [  # Carbon's published counts, less the rows of the vocabulary that are cut away
        ("carbon-500m", 511_894_528 - (155_776 - 4_107) * 1_024),
        ("carbon-3b", 3_451_444_224 - (155_776 - 4_107) * 3_072),
        ("carbon-8b", 8_255_705_088 - 2 * (155_776 - 4_107) * 4_096),
    ],
)
def test_carbon_has_the_published_number_of_parameters(name, n_parameters):
    shapes = tensor_shapes(ARCHITECTURES[name])
    assert sum(int(np.prod(shape)) for shape in shapes.values()) == n_parameters


def test_rotary_frequencies():
    frequencies = rope_inv_freq(dataclasses.replace(TEST_ARCHITECTURE, head_dim=4, rope_theta=100.0))
    np.testing.assert_array_equal(frequencies, np.array([1.0, 0.1], np.float32))


@pytest.mark.parametrize("state_layer", [0, 4])
def test_a_state_layer_outside_the_model_is_refused(state_layer):
    with pytest.raises(ProvenanceError) as error:
        check_model(TEST_ARCHITECTURE, TENSORS, state_layer)
    assert error.value.code == "manifest-invalid"
