"""A built release, read by the loader: what was built arrives, once, and nothing of what is held out."""

from collections import Counter, defaultdict

import pytest

pytest.importorskip("torch", reason="the extra `torch` is not installed")

from torch.utils.data import DataLoader

from genolewm_core.scoring.states import ReferenceWindow, window_hash
from genolewm_data.holdouts.keys import edit_key
from genolewm_data.loader import GenoLeWMDataset, GenoLeWMValDataset
from genolewm_data.release.release import Release
from genolewm_data.tuples import GenomePlace

pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded")


def test_an_epoch_of_a_built_release(built, world):
    release = Release.open(built.folder)
    windows = release.windows("train")
    batches = list(DataLoader(GenoLeWMDataset(release, epochs=1), batch_size=None, num_workers=2))
    numbers = [number for batch in batches for number in batch.window_number.tolist()]
    assert sorted(numbers) == list(range(len(windows)))
    refs = {
        number: ref
        for batch in batches
        for number, ref in zip(batch.window_number.tolist(), batch.windows, strict=True)
    }
    for number, window in enumerate(windows):
        assert refs[number].hash == window_hash(window.sequence)
    tally = sum((batch.tally for batch in batches), Counter())
    assert tally["drawn.gnomad"] > 0
    held, builder = release.held_out, release.builder()
    assert set(world.held_variants) <= set.union(*map(set, held.variants.values()))
    for number, window in enumerate(windows):
        if isinstance(window, ReferenceWindow):
            for sample in builder.build(window, number).tuples:
                keys = [edit_key(window, edit) for edit in sample.rel_edits]
                assert None not in keys
                assert not held.holds_together(keys)


def test_validation_of_a_built_release(built):
    release = Release.open(built.folder)
    batches = list(GenoLeWMValDataset(release))
    counts, tally = Counter(), defaultdict(Counter)
    for batch in batches:
        counts[batch.holdout] += len(batch.windows)
        assert batch.n_tuples > 0
        assert all(isinstance(ref.place, GenomePlace) for ref in batch.windows)
        if batch.holdout != "chr21":
            assert set(batch.tuple_window.tolist()) == set(range(len(batch.windows)))
            tally[batch.holdout] += batch.tally
    assert counts == release.manifest.windows["validation"]
    assert set(counts) == {"chr21", "clinvar", "haplotypes"}
    assert tally["haplotypes"]["edits.2"] == len(release.haplotypes("validation")) > 0
    clinvar = release.variants("validation", "clinvar").contigs
    # Those of chr21 are there for windows of chr21, since the mix has ClinVar.
    in_windows = sum(len(found.start) for contig, found in clinvar.items() if contig != "chr21")
    assert tally["clinvar"]["drawn.clinvar"] == in_windows > 0
