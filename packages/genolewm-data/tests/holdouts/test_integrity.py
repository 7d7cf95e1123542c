"""A planted leak is caught in every disguise, and real sequence that has nothing to do with the hold-outs is not."""

import json
import random

import pytest

from genolewm_core.errors import ConfigError
from genolewm_core.genome.alleles import reverse_complement
from genolewm_core.genome.reference import Reference
from genolewm_core.genome.variant import RelEdit, Variant, edit_type
from genolewm_core.scoring.states import ReferenceWindow
from genolewm_data.holdouts.held import HeldOut, Holdouts
from genolewm_data.holdouts.integrity import DECOY_ONE_IN, IntegrityCheck
from genolewm_data.holdouts.intervals import Intervals
from genolewm_data.holdouts.kmers import HeldSequence

WINDOW_BP = 6_144


@pytest.fixture(scope="module")
def world(shared_data):
    """A megabase of chromosome 20 held out, beside sequence of the same chromosome that is not."""
    reference = Reference(shared_data / "reference" / "GRCh37.shared.fa.gz")
    held = HeldOut(
        "GRCh37",
        regions={"calibration": Intervals.of({"chr20": [(1_000_000, 2_000_000)]})},
        variants={"clinvar": frozenset([Variant.parse("chr20:10000100:A:C")])},
        blocks={"panel": frozenset([(Variant("chr20", 10_000_010, "A", "C"), Variant("chr20", 10_000_050, "G", "T"))])},
    )  # fmt: skip
    holdouts = Holdouts({"GRCh37": held})
    return holdouts, reference, HeldSequence.of(held.regions, reference)


@pytest.fixture
def check(world):
    holdouts, _, sequence = world
    return IntegrityCheck(holdouts, "GRCh37", sequence)


def mutated(bases, share, seed=0):
    rng = random.Random(seed)
    turned = {"A": "C", "C": "G", "G": "T", "T": "A", "N": "N"}
    return "".join(turned[base] if rng.random() < share else base for base in bases)


DISGUISES = {
    "as it is": lambda held, free: held,
    "in lower case": lambda held, free: held.lower(),
    "reverse-complemented": lambda held, free: reverse_complement(held),
    "shifted by one": lambda held, free: held[1:] + "A",
    "shifted by five and reverse-complemented": lambda held, free: reverse_complement("ACGTA" + held[:-5]),
    "with 1 % of its bases changed": lambda held, free: mutated(held, 0.01),
    "with 4 % of its bases changed, reverse-complemented": lambda held, free: reverse_complement(
        mutated(held, 0.04)
    ),
    "its first half before other sequence": lambda held, free: held[:3_072] + free[3_072:],
    "its last sixth behind other sequence": lambda held, free: free[:-1_024] + held[-1_024:],
    "in pieces of 500 between other sequence": lambda held, free: "".join(
        (held if i % 1_000 < 500 else free)[i : i + 500] for i in range(0, WINDOW_BP, 500)
    ),
    "with runs of N": lambda held, free: held[:2_000] + "N" * 1_000 + held[3_000:],
}


@pytest.mark.parametrize("disguise", DISGUISES)
def test_a_planted_leak_is_caught(world, check, disguise):
    _, reference, _ = world
    for start in (1_000_000, 1_400_003, 1_900_000):
        held = reference.fetch("20", start, start + WINDOW_BP)
        free = reference.fetch("20", 10_200_000 + start // 10, 10_200_000 + start // 10 + WINDOW_BP)
        check.unplaced(DISGUISES[disguise](held, free), "record 1")
    report = check.report()
    assert report.flagged == 3
    assert report.windows_similar == {"calibration": 3}
    assert not report.clean
    assert "record 1" in report.text()
    assert "HELD-OUT DATA WAS SEEN" in report.text()


def test_other_sequence_is_not_flagged(world, check, shared_data):
    """A megabase of the same chromosome with all its repeats, yeast, and E. coli."""
    _, reference, _ = world
    yeast = Reference(shared_data / "species" / "sacCer3.fa.gz")
    coli = Reference(shared_data / "species" / "Ecoli_W.fa.gz")
    for source, contig, first, n in (
        (reference, "20", 10_000_000, 170),
        (yeast, next(iter(yeast.contigs)), 1_000, 30),
        (coli, next(iter(coli.contigs)), 0, 100),
    ):
        for index in range(n):
            start = first + index * WINDOW_BP
            check.unplaced(source.fetch(contig, start, start + WINDOW_BP), "record")
    report = check.report()
    assert report.clean
    assert report.flagged == report.undecided == 0
    assert sum(report.containment) == report.unplaced == 300
    assert report.decoys == -(-300 // DECOY_ONE_IN)
    assert report.decoys_flagged == 0
    # Wilson's bound for none of n at one-sided 95 %: z2 / (n + z2).
    assert report.false_positive_bound == pytest.approx(2.70554 / (report.decoys + 2.70554), rel=1e-4)


def test_windows_that_say_nothing_are_counted_apart(check):
    check.unplaced("N" * WINDOW_BP, "record")
    check.unplaced("ACGT" * 20, "record")
    check.placed(ReferenceWindow("20", 10_000_000, 10_000_000 + WINDOW_BP, "N" * WINDOW_BP))
    report = check.report()
    assert (report.undecided, report.unplaced_undecided) == (3, 2)
    assert not report.clean  # nothing tells what the two without coordinates are
    assert len(report.findings) == 2
    assert sum(report.containment) == 0
    assert report.false_positive_bound == 1


def window_at(reference, start, bases=None):
    end = start + WINDOW_BP
    return ReferenceWindow("20", start, end, bases or reference.fetch("20", start, end))


def substitution(window, pos, alt):
    place = pos - 1 - window.start
    return RelEdit(place, edit_type("A", alt), window.sequence[place], alt)


def test_places_edits_and_haplotypes(world, check):
    _, reference, _ = world
    bases = list(reference.fetch("20", 10_000_000, 10_000_000 + WINDOW_BP))
    for pos, base in ((10_000_010, "A"), (10_000_050, "G"), (10_000_100, "A")):
        bases[pos - 10_000_001] = base
    window = window_at(reference, 10_000_000, "".join(bases))
    check.placed(window)
    check.placed(window, [substitution(window, 10_000_010, "C")])
    check.placed(window, [substitution(window, 10_000_100, "G"), substitution(window, 10_000_050, "T")])
    assert check.report().clean
    assert check.report().edits == 3
    check.placed(window, [substitution(window, 10_000_100, "C")])
    check.placed(window, [substitution(window, 10_000_010, "C"), substitution(window, 10_000_050, "T")])
    # 144 bases of the hold-out's end are too few for the k-mers, and enough for the coordinates.
    check.placed(window_at(reference, 1_999_856, "N" * WINDOW_BP))
    report = check.report()
    assert report.edits_held == {"clinvar": 1}
    assert report.haplotypes_held == {"panel": 1}
    assert report.windows_touching == {"calibration": 1}
    assert report.overlap_bp == {"calibration": 144}
    assert (report.placed, report.edits, report.flagged, report.undecided) == (6, 6, 0, 1)
    assert not report.clean
    assert len(report.findings) == 3


def test_an_edit_without_a_key_is_counted(world, check):
    window = window_at(world[1], 10_000_000, "A" * 100 + "ACGTTGCA" * 756)
    check.placed(window, [RelEdit(4, edit_type("A", "AA"), "A", "AA")])
    assert check.report().edits_without_key == 1


def test_reports_of_workers_are_joined(world, tmp_path):
    holdouts, reference, sequence = world
    windows = [window_at(reference, start) for start in (1_990_000, 10_000_000, 10_100_000, 1_500_000)]
    checks = [IntegrityCheck(holdouts, "GRCh37", sequence) for _ in range(3)]
    for window in windows:
        checks[0].placed(window)
    for window in windows[:2]:
        checks[1].placed(window)
    for window in windows[2:]:
        checks[2].placed(window)
    whole, first, second = (one.report() for one in checks)
    joined = first.merged(second)
    assert joined.windows_touching == whole.windows_touching == {"calibration": 2}
    assert joined.overlap_bp == whole.overlap_bp
    assert joined.containment == whole.containment
    assert joined.findings == whole.findings
    assert (joined.placed, joined.flagged, joined.highest) == (4, 2, whole.highest)
    path = tmp_path / "integrity.json"
    joined.write(path)
    document = json.loads(path.read_text())
    assert document["clean"] is False
    assert document["windows_similar"] == {"calibration": 2}
    assert document["holdouts"] == holdouts.digest
    assert document["sequence"] == sequence.digest
    with pytest.raises(ValueError, match="different"):
        first.merged(IntegrityCheck(holdouts, "GRCh37", sequence, threshold=0.5).report())


def test_the_reports_text_names_each_hold_out(world, check):
    check.placed(window_at(world[1], 1_500_000))
    lines = check.report().text().splitlines()
    (row,) = [line.split() for line in lines if line.startswith("calibration")]
    assert row == ["calibration", "1", "6,144", "0", "0", "1"]


def test_an_assembly_without_hold_outs_is_refused(world):
    with pytest.raises(ConfigError):
        IntegrityCheck(world[0], "GRCh38", world[2])
