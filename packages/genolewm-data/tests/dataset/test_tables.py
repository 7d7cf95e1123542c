"""Which variants some windows reach, against a comparison of each with each."""

from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genolewm_core.errors import ConfigError, InputError
from genolewm_core.genome.contigs import ContigTable
from genolewm_core.genome.reference import Reference
from genolewm_core.genome.variant import Variant
from genolewm_data.dataset.config import ClinvarShard, GnomadShard
from genolewm_data.dataset.holding import hold_out, labelled
from genolewm_data.dataset.sources import check_shard
from genolewm_data.dataset.tables import HeldRows, Reach, changed_labels, write_variants
from genolewm_data.holdouts.held import HeldOut, Holdouts
from genolewm_data.holdouts.intervals import Intervals
from genolewm_data.prepare.rows import VARIANT

from .conftest import candidates, write_shard

spans = st.lists(st.tuples(st.integers(0, 60), st.integers(1, 20)).map(lambda one: (one[0], one[0] + one[1])))


@settings(deadline=None)
@given(spans, st.lists(st.tuples(st.integers(0, 90), st.integers(1, 3)), min_size=1))
def test_a_stretch_is_reached_when_some_window_holds_it_or_windows_overlap_around_it(windows, stretches):
    reach = Reach({"1": windows})
    start = np.array([at for at, _ in stretches], np.int64)
    end = start + np.array([n for _, n in stretches], np.int64)
    inside = {at for first, last in windows for at in range(first, last)}
    found = reach.holds("1", start, end)
    for at, (first, last) in enumerate(zip(start.tolist(), end.tolist(), strict=True)):
        if any(a <= first and last <= b for a, b in windows):
            assert found[at]
        elif not set(range(first, last)) <= inside:
            assert not found[at]
    assert not reach.holds("2", start, end).any()


bases = st.sampled_from("ACGT")
variants = st.builds(
    lambda chrom, pos, ref, alt: Variant(
        chrom, pos, ref, alt if alt != ref else alt + ("C" if alt[-1] == "A" else "A")
    ),
    st.sampled_from(["1", "chr2", "2_alt"]),
    st.integers(1, 40),
    st.text(bases, min_size=1, max_size=3),
    st.text(bases, min_size=1, max_size=3),
)


@settings(deadline=None)
@given(
    st.lists(variants, min_size=1, max_size=20),
    st.lists(variants, max_size=8),
    st.lists(st.integers(0, 38), max_size=2),
)
def test_no_variant_that_is_held_out_is_passed_over(rows, held, starts):
    keys = frozenset(
        Variant(v.chrom if v.chrom.startswith("chr") else f"chr{v.chrom}", v.pos, v.ref, v.alt) for v in held
    )
    regions = {"region": Intervals.of({"1": [(start, start + 2) for start in starts], "2": [(0, 1 << 30)]})}
    out = HeldOut("GRCh38", regions, {"clinvar": keys})
    for chrom in {row.chrom for row in rows}:
        ours = [row for row in rows if row.chrom == chrom]
        assert candidates(out, ours) == [out.holds(row) for row in ours]
    table = pa.Table.from_pylist([{name: getattr(v, name) for name in VARIANT} for v in rows])
    assert HeldRows(out).names(table) == Counter(name for row in rows for name in set(out.holding(row)))


def test_labels_are_compared_from_the_earlier_to_the_later_release(tmp_path):
    kept, moved, withdrawn, added = (Variant("chr1", pos, "A", "C") for pos in (1, 2, 3, 4))
    write_shard(tmp_path / "old", "clinvar", "2020-01-01", [(kept, "P"), (moved, "VUS"), (withdrawn, "P")])
    write_shard(tmp_path / "new", "clinvar", "2024-01-01", [(kept, "P"), (moved, "P"), (added, "P")])
    contigs = ContigTable({"1": 1_000})
    old, new = ClinvarShard(tmp_path / "old"), ClinvarShard(tmp_path / "new")
    assert changed_labels(new, old, contigs) == changed_labels(old, new, contigs) == {("1", 2, "A", "C")}
    assert changed_labels(new, new, contigs) == frozenset()
    assert changed_labels(new, None, contigs) == frozenset()


def spoil(path, column):
    """Change what a column's first page says about itself."""
    metadata = pq.read_metadata(path)
    names = [metadata.schema.column(i).path for i in range(metadata.num_columns)]
    chunk = metadata.row_group(0).column(names.index(column))
    data = bytearray(path.read_bytes())
    at = chunk.dictionary_page_offset or chunk.data_page_offset
    data[at : at + chunk.total_compressed_size] = b"\x5a" * chunk.total_compressed_size
    path.write_bytes(data)


def drop(path, column):
    table = pq.read_table(path)
    pq.write_table(table.drop_columns([column]), path)


def begin(training, evaluation):
    """What looks at all of two shards first: the comparison with the reference, of labels, and what is held out."""
    contigs = ContigTable({"1": 1_000})
    check_shard(training, "clinvar", "GRCh38", contigs)
    changed_labels(training, evaluation, contigs)
    list(labelled(evaluation, ("P",), contigs))


@pytest.mark.parametrize("how", [spoil, drop])
@pytest.mark.parametrize("column", ["chrom", "alt", "label", "stars"])
@pytest.mark.parametrize("which", ["old", "new"])
def test_a_shard_that_is_damaged_or_lacks_a_column_is_named(tmp_path, how, column, which):
    rows = [(Variant("chr1", pos, "A", "C"), "P") for pos in range(1, 50)]
    write_shard(tmp_path / "old", "clinvar", "2020-01-01", rows)
    write_shard(tmp_path / "new", "clinvar", "2024-01-01", rows)
    old, new = ClinvarShard(tmp_path / "old"), ClinvarShard(tmp_path / "new")
    begin(new, old)
    how(tmp_path / which, column)
    with pytest.raises(InputError) as caught:
        begin(new, old)
    assert (caught.value.code, caught.value.where) == ("training-data-missing", str(tmp_path / which))


@pytest.mark.parametrize("given", ["gnomad: {path: g, labels: [P]}", "clinvar: {path: c, min_af: 0.5}"])
def test_a_key_of_the_other_kind_of_shard_is_refused(world, given):
    kind, key = given.partition(":")[0], "labels" if "labels" in given else "min_af"
    with pytest.raises(ConfigError, match=f"variants.{kind}.{key}"):
        world.config(f"variants={{{given}}}")


def test_hold_outs_that_cannot_all_be_named_are_refused(world, tmp_path):
    path = tmp_path / "made.json"

    def held(n):
        regions = {f"gene {i}": Intervals.of({"chr1": [(9 * i, 9 * i + 5)]}) for i in range(n)}
        Holdouts({"GRCh38": HeldOut("GRCh38", regions)}).write(path)
        config = world.config(f"holdouts={{file: {path}}}")
        return hold_out(config, Reference(config.reference.path), tmp_path, tmp_path / "blocks")

    assert len(held(16)["regions"]) == 16
    with pytest.raises(InputError, match="holdouts-invalid"):
        held(17)


def test_a_damaged_shard_is_not_taken_for_a_full_disk(tmp_path):
    write_shard(
        tmp_path / "shard", "gnomad", "v4.1", [(Variant("chr1", pos, "A", "C"), 0.5) for pos in (1, 2)]
    )
    held, contigs = HeldOut("GRCh38"), ContigTable({"1": 1_000})
    write_variants(
        tmp_path / "table", GnomadShard(tmp_path / "shard"), "gnomad", contigs, held, Reach({}), training=True
    )
    spoil(tmp_path / "shard", "alt")
    with pytest.raises(InputError, match="training-data-missing"):
        write_variants(
            tmp_path / "again",
            GnomadShard(tmp_path / "shard"),
            "gnomad",
            contigs,
            held,
            Reach({}),
            training=True,
        )
    assert not (tmp_path / "again").exists()
