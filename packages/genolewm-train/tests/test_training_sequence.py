import numpy as np
import pytest

from genolewm_core.errors import InputError
from genolewm_core.scoring.sixmer import sixmer_codes
from genolewm_train.training_sequence import (
    Source,
    TrainingSequence,
    read_training_sequence,
    reverse_complement,
)

COMPLEMENT = str.maketrans("ACGT", "TGCA")


def test_reverse_complement_of_digits():
    # A, T, C, G are 0, 1, 2, 3: AACG reads CGTT on the other strand.
    assert reverse_complement(np.array([0, 0, 2, 3], dtype=np.uint8)).tolist() == [2, 3, 1, 1]


def test_windows_are_what_the_tokenizer_makes(sequence_of, random_bases):
    text = random_bases(2_000, 0)
    sequence = sequence_of(text)
    strands, phases = set(), set()
    for step in range(40):
        _, offset, reverse = sequence.draw(7, step, 0, 60)
        window = text[offset : offset + 60]
        if reverse:
            window = window[::-1].translate(COMPLEMENT)
        assert sequence.batch(7, step, 1, 10)[0].tolist() == sixmer_codes(window).tolist()
        strands.add(reverse)
        phases.add(offset % 6)
    assert strands == {False, True}
    assert phases == set(range(6))


def test_a_window_depends_on_seed_step_and_row_alone(sequence_of, random_bases):
    sequence = sequence_of(random_bases(3_000, 0), random_bases(2_000, 1))
    assert np.array_equal(sequence.batch(0, 5, 4, 20), sequence.batch(0, 5, 4, 20))
    assert np.array_equal(sequence.batch(0, 5, 4, 20)[:2], sequence.batch(0, 5, 2, 20))
    draws = {sequence.draw(*key, 120)[1] for key in ((0, 5, 0), (0, 5, 1), (0, 6, 0), (1, 5, 0))}
    assert len(draws) == 4


def test_weights_decide_how_often_a_source_is_drawn(sequence_of, random_bases):
    one, other = (sequence_of(random_bases(2_000, seed)).sources[0].pieces for seed in (1, 2))
    sequence = TrainingSequence((Source("one", one), Source("other", other)), (0.9, 0.1))
    drawn = [sequence.draw(0, step, 0, 60)[0] is one[0] for step in range(2_000)]
    assert 0.87 < np.mean(drawn) < 0.93


def test_too_short_for_a_window(sequence_of, random_bases):
    with pytest.raises(InputError) as caught:
        sequence_of(random_bases(100, 0)).batch(0, 0, 1, 20)
    assert caught.value.code == "training-data-missing"


def test_digest_names_the_bases(sequence_of, random_bases):
    text = random_bases(1_000, 0)
    changed = text[:500] + ("A" if text[500] != "A" else "C") + text[501:]
    assert sequence_of(text).digest == sequence_of(text.lower()).digest != sequence_of(changed).digest


def test_missing_folder_is_named(tmp_path):
    with pytest.raises(InputError) as caught:
        read_training_sequence(tmp_path, human=1.0, species=0.0)
    assert caught.value.code == "training-data-missing"
