import shutil

import numpy as np
import pytest

from genolewm_core.errors import InputError, InternalError
from genolewm_core.scoring.sixmer import sixmer_codes
from genolewm_train.data_folder import read_training_sequence
from genolewm_train.training_sequence import (
    Source,
    TrainingSequence,
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


def test_no_piece_of_the_tiny_data_is_held_out(tiny_data):
    sequence, holdouts = read_training_sequence(tiny_data, human=0.8, species=0.1)
    assert holdouts.genes == ("AGRN",)
    human = sequence.sources[0].pieces
    for piece in human:
        holdouts.on(piece.assembly).check(piece.contig, piece.start, piece.start + len(piece.digits))
    places = {(p.assembly, p.contig, p.start, p.start + len(p.digits)) for p in human}
    assert places == {
        ("GRCh38", "chr1", 0, 15_000),
        ("GRCh38", "chr1", 31_000, 60_000),
        ("GRCh38", "chr2", 0, 9_000),
        ("GRCh38", "chr2", 9_100, 30_000),
        # GRCh37's chromosome 1 is GRCh38's: only what has no counterpart there is added.
        ("GRCh37", "17", 0, 60_000),
    }


def test_held_out_sequence_that_slips_through_is_refused(tiny_data, tmp_path, random_bases, fasta_of):
    # A scaffold of chromosome 21 lies in no interval of the hold-outs, so nothing cuts it out.
    data = shutil.copytree(tiny_data, tmp_path / "data", ignore=shutil.ignore_patterns("GRCh38.shared.*"))
    fasta_of(data / "reference" / "GRCh38.shared.fa.gz", {"chr21_GL383578v2_alt": random_bases(2_000, 0)})
    with pytest.raises(InternalError) as caught:
        read_training_sequence(data, human=1.0, species=0.0)
    assert caught.value.code == "holdout-leak"


def test_the_real_sequence_is_what_the_published_model_was_trained_on(shared_data):
    sequence, holdouts = read_training_sequence(shared_data, human=0.88, species=0.06)
    for piece in sequence.sources[0].pieces:
        holdouts.on(piece.assembly).check(piece.contig, piece.start, piece.start + len(piece.digits))
    # `data_sha256` in the manifest of genolewm-mini 0.1.0.
    assert sequence.digest == "a8424aa5e4c0d53e8e9d1ca2b4b5faa2c4239d3e87edad631adfaad64fd92501"
    assert len(holdouts.genes) == 57


def test_missing_folder_is_named(tmp_path):
    with pytest.raises(InputError) as caught:
        read_training_sequence(tmp_path, human=1.0, species=0.0)
    assert caught.value.code == "training-data-missing"
