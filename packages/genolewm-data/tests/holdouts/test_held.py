"""What the hold-outs refuse, and their file."""

import json
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genolewm_core.errors import ConfigError, InputError, InternalError
from genolewm_core.genome.variant import EditSpec, RelEdit, Variant, edit_type
from genolewm_core.scoring.states import ReferenceWindow
from genolewm_data.holdouts.held import WHOLE_CONTIG, HeldOut, Holdouts
from genolewm_data.holdouts.intervals import Intervals
from genolewm_data.holdouts.keys import edit_key, parts


def variants(*texts):
    return tuple(Variant.parse(text) for text in texts)


HELD = HeldOut(
    "GRCh38",
    regions={
        "chr21": Intervals.of({"chr21": [WHOLE_CONTIG]}),
        "gene": Intervals.of({"chr1": [(100, 200)]}),
        "both": Intervals.of({"chr1": [(190, 300)]}),
    },
    variants={
        "clinvar": frozenset(variants("chr2:50:A:G", "chr2:1004:T:TCA", "chr2:60:C:T", "chr2:80:ACG:CCT"))
    },
    blocks={"panel": frozenset([variants("chr3:10:A:G", "chr3:20:C:T", "chr3:30:G:GA")])},
)
HOLDOUTS = Holdouts({"GRCh38": HELD}, ("GENE",), {"genes.gff3.gz": "ab"})


@pytest.mark.parametrize(
    ("contig", "start", "end", "names"),
    [
        ("chr21", 0, 1, ("chr21",)),
        ("21", 40_000_000, 40_006_144, ("chr21",)),
        ("NC_000021.9", 5, 6, ("chr21",)),
        ("chr21_GL383578v2_alt", 5, 6, ("chr21",)),
        ("chr21_KI270872v1_random", 5, 6, ("chr21",)),
        ("chr1", 99, 100, ()),
        ("chr1", 99, 101, ("gene",)),
        ("1", 195, 196, ("gene", "both")),
        ("1", 0, 1_000, ("gene", "both")),
        ("chr1", 300, 301, ()),
        ("chr1", 150, 150, ()),
        ("chr1_KI270706v1_random", 100, 200, ()),
        ("chr2", 49, 50, ()),
    ],
)
def test_windows(contig, start, end, names):
    assert HELD.touched(contig, start, end) == names
    assert HELD.touches(contig, start, end) == bool(names)
    if names:
        with pytest.raises(InternalError) as caught:
            HELD.check(contig, start, end)
        assert caught.value.code == "holdout-leak"
    else:
        HELD.check(contig, start, end)


@pytest.mark.parametrize(
    ("variant", "names"),
    [
        ("chr2:50:A:G", ("clinvar",)),
        ("2:50:A:G", ("clinvar",)),
        ("NC_000002.12:50:A:G", ("clinvar",)),
        ("chr2:50:A:C", ()),
        ("chr2:51:A:G", ()),
        ("chr2:49:CAT:TGA", ("clinvar",)),  # its second base is the held-out change
        ("chr2:49:CAT:TAA", ()),
        ("chr1:100:A:G", ()),
        ("chr1:101:A:G", ("gene",)),
        ("chr1:100:AC:A", ("gene",)),
        ("chr21:1:A:G", ("chr21",)),
        ("chr3:10:A:G", ()),
        ("chr2:80:ACG:CCT", ("clinvar",)),
        ("chr2:79:TACG:GCCT", ("clinvar",)),  # the held-out change is inside
        ("chr2:80:A:C", ()),  # a part of a held-out change is another one
        ("chr2:80:ACG:CTG", ()),
    ],
)
def test_variants(variant, names):
    assert HELD.holding(Variant.parse(variant)) == names
    assert HELD.holds(Variant.parse(variant)) == bool(names)


@pytest.mark.parametrize(
    ("together", "names", "held"),
    [
        (("chr3:10:A:G",), (), False),
        (("chr3:10:A:G", "chr3:21:C:T"), (), False),
        (("chr3:10:A:G", "3:30:G:GA"), ("panel",), True),
        (("chr3:30:G:GA", "chr3:5:A:C", "chr3:20:C:T"), ("panel",), True),
        (("chr3:10:A:G", "3:10:A:G"), (), False),
        (("chr2:80:A:C", "chr2:82:G:T"), ("clinvar",), True),  # together the held-out substitution
        (("chr2:79:TA:CC", "chr2:82:G:T"), ("clinvar",), True),
        (("chr2:80:A:C", "chr2:82:G:A"), (), False),
        (("chr3:10:A:G", "chr2:50:A:G"), (), True),  # one of the two is held out alone
    ],
)
def test_haplotypes(together, names, held):
    assert HELD.holding_together(variants(*together)) == names
    assert HELD.holds_together(variants(*together)) == held


#           1000 is the place of the first base
REPEAT = "GGATTCACACACATTGCAGG"


def edit(place, ref, alt):
    return RelEdit(place, edit_type(ref, alt), ref, alt)


@pytest.mark.parametrize(
    ("given_edit", "key"),
    [
        (edit(4, "T", "TCA"), "chr2:1005:T:TCA"),
        (edit(5, "CA", "CACA"), "chr2:1005:T:TCA"),
        (edit(12, "A", "ACA"), "chr2:1005:T:TCA"),
        (edit(8, "A", "ACA"), "chr2:1005:T:TCA"),
        (edit(11, "CA", "C"), "chr2:1012:CA:C"),
        (edit(3, "T", "G"), "chr2:1004:T:G"),
        (edit(2, "ATT", "ACT"), "chr2:1004:T:C"),
        (edit(0, "G", "GG"), None),  # the run of G may go on to the left
        (edit(1, "G", "GG"), None),
        (edit(3, "T", "T"), None),
    ],
)
@pytest.mark.parametrize("soft_masked", [False, True])
def test_an_edit_has_one_key_however_it_is_spelled(given_edit, key, soft_masked):
    bases = REPEAT.lower() if soft_masked else REPEAT
    window = ReferenceWindow("2", 1_000, 1_000 + len(REPEAT), bases)
    assert edit_key(window, given_edit) == (key and Variant.parse(key))


def test_a_held_out_insertion_is_refused_in_every_spelling():
    held = HeldOut("GRCh38", variants={"clinvar": frozenset(variants("chr2:1005:T:TCA"))})
    window = ReferenceWindow("2", 1_000, 1_000 + len(REPEAT), REPEAT)
    assert all(held.holds_edit(window, edit(place, "A", "ACA")) for place in (6, 8, 10, 12))
    assert not held.holds_edit(window, edit(12, "A", "ACC"))
    assert held.holds_edit(window, edit(0, "G", "GG"))


def test_a_window_at_the_contigs_start_has_keys_for_its_first_bases():
    window = ReferenceWindow("2", 0, len(REPEAT), REPEAT)
    assert edit_key(window, edit(1, "G", "GG")) == Variant.parse("chr2:1:G:GG")


@given(st.text("ACGT", min_size=12, max_size=24), st.data())
def test_keys_inside_a_window_are_those_of_the_whole_sequence(bases, data):
    """A window in the middle of a sequence either gives the key of the whole sequence, or none."""
    place = data.draw(st.integers(4, len(bases) - 4))
    ref = bases[place : place + data.draw(st.integers(1, 3))]
    alt = ref[0] + data.draw(st.text("ACGT", max_size=3))
    if ref == alt:
        return
    whole = ReferenceWindow("chr1", 0, len(bases), bases)
    part = ReferenceWindow("chr1", 3, len(bases), bases[3:])
    spec = EditSpec("chr1", place + 1, ref, alt)
    key = edit_key(part, spec.relative_to(part.start, part.end))
    full = edit_key(whole, spec.relative_to(0, len(bases)))
    assert key == full or (key is None and full.pos <= 3)


def test_parts_of_a_substitution():
    assert list(parts(Variant.parse("chr1:5:ACG:TCA"))) == list(
        variants("chr1:5:ACG:TCA", "chr1:5:A:T", "chr1:7:G:A")
    )
    assert list(parts(Variant.parse("chr1:5:AC:A"))) == list(variants("chr1:5:AC:A"))


def test_the_file_brings_back_what_was_written(tmp_path):
    path = tmp_path / "holdouts.json"
    HOLDOUTS.write(path)
    again = Holdouts.read(path)
    assert again == HOLDOUTS
    assert again.digest == HOLDOUTS.digest == json.loads(path.read_bytes())["digest"]
    assert pickle.loads(pickle.dumps(again)) == HOLDOUTS
    assert again.on("GRCh38").holds_together(variants("chr3:10:A:G", "chr3:20:C:T"))


def test_the_digest_tells_every_difference():
    others = [
        HOLDOUTS.with_variants("clinvar", {"GRCh38": variants("chr2:50:A:G")}),
        HOLDOUTS.with_variants("more", {"GRCh38": ()}),
        HOLDOUTS.with_blocks("panel", {"GRCh38": ()}),
        Holdouts(HOLDOUTS.assemblies, (), HOLDOUTS.sources),
        Holdouts(HOLDOUTS.assemblies, HOLDOUTS.genes, {"genes.gff3.gz": "ac"}),
    ]
    assert len({HOLDOUTS.digest, *(other.digest for other in others)}) == 6


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("chr2:50:A:G", "chr2:51:A:G"),
        lambda text: text.replace("[100,200]", "[100,199]"),
        lambda text: text.replace('"1.0.0"', '"2.0.0"'),
        lambda text: text.replace('"genes"', '"gene"'),
        lambda text: text.replace("chr2:50:A:G", "chr2:50:A"),
        lambda text: text[:-30],
        lambda text: "[]",
    ],
)
def test_a_changed_file_is_refused(tmp_path, change):
    path = tmp_path / "holdouts.json"
    HOLDOUTS.write(path)
    text = path.read_text()
    assert change(text) != text
    path.write_text(change(text))
    with pytest.raises(InputError) as caught:
        Holdouts.read(path)
    assert caught.value.code == "holdouts-invalid"


def test_an_assembly_without_hold_outs_is_refused():
    with pytest.raises(ConfigError):
        HOLDOUTS.on("GRCh37")
    with pytest.raises(ConfigError):
        HOLDOUTS.with_variants("clinvar", {"GRCh37": ()})
