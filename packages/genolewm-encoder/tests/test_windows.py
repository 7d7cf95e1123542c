"""Windows of a FASTA and their states: which there are, and that they are the same wherever they are encoded."""

import dataclasses
import multiprocessing
import os
import pickle
import signal
from pathlib import Path

import numpy as np
import pytest
import torch

from genolewm_core.artifacts.architectures import Architecture
from genolewm_core.artifacts.manifest import Contract
from genolewm_core.errors import ConfigError
from genolewm_core.genome.bed import Region
from genolewm_core.genome.reference import Reference
from genolewm_core.jobs import Cluster, Here, Processes
from genolewm_core.scoring.cells import Geometry
from genolewm_core.scoring.sixmer import K
from genolewm_core.scoring.states import Encoding, StateKey, WindowBlock
from genolewm_core.testing.conformance import random_model
from genolewm_core.testing.models import write_model
from genolewm_encoder.cache import StateCache
from genolewm_encoder.identity import EncoderIdentity
from genolewm_encoder.pooling import Pool
from genolewm_encoder.windows.encode import EncodeBlocks, EncoderChoice
from genolewm_encoder.windows.fasta import CENTRE, WHOLE, FastaWindows, Loci, reference_window
from genolewm_encoder.windows.record import record_encoder, same_states
from genolewm_encoder.windows.run import encode_windows, plan_of

GEOMETRY = Geometry(6_144, 1_200)
LEFT = GEOMETRY.left_bp
LENGTHS = {"chr1": 9_005, "chr2": 2_000, "chrN": 3_000, "tiny": 5}
N_START, N_END = 3_600, 6_000  # two cells of chr1

SHAPE = Architecture(
    n_layers=2, d_model=16, n_heads=4, n_kv_heads=2, head_dim=8, d_ffn=24, rms_norm_eps=1e-6, rope_theta=1e4
)


@pytest.fixture(scope="module")
def fasta(tmp_path_factory):
    rng = np.random.default_rng(5)
    path = tmp_path_factory.mktemp("reference") / "reference.fa"
    with path.open("w") as out:
        for name, length in LENGTHS.items():
            bases = "".join(rng.choice(list("ACGTacgt"), size=length))
            if name == "chr1":
                bases = bases[:N_START] + "N" * (N_END - N_START) + bases[N_END:]
            elif name == "chrN":
                bases = "N" * length
            out.write(f">{name}\n{bases}\n")
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    contract = Contract(window_bp=6_144, cell_bp=1_200, state_layer=2, radius_tok=3, ll_tok=4)
    return write_model(tmp_path_factory.mktemp("model"), SHAPE, random_model(SHAPE, seed=1), contract)


def choice_of(model, **changes):
    usual = {"dtype": "fp32", "state_layer": 2, "pool_type": "span_mean", "pool_radius": 3}
    return EncoderChoice(model.path, model.manifest.model_id, **{**usual, **changes})


# Which windows there are


@pytest.mark.parametrize(
    ("text", "cell", "places"),
    [
        ("centre", (1_200, 2_400), [1_800]),
        ("centre", (8_400, 9_005), [8_702]),
        ("untargeted", (1_200, 2_400), []),
        ("every:600", (1_200, 2_400), [1_200, 1_800]),
        ("every:500", (1_200, 2_400), [1_500, 2_000]),
        ("every:5000", (1_200, 2_400), []),
        ("every:1", (0, 3), [0, 1, 2]),
    ],
)
def test_places_of_a_cell(text, cell, places):
    assert list(Loci.parse(text).of_cell(*cell)) == places


@pytest.mark.parametrize(
    "text", ["", "center", "every", "every:", "every:0", "every:-6", "every:x", "every:²"]
)
def test_other_places_are_refused(text):
    with pytest.raises(ConfigError, match="config-invalid"):
        Loci.parse(text)


@pytest.mark.parametrize(
    ("cell", "start", "end", "offsets"),
    [
        (0, 0, 6_144 - LEFT - (6_144 - LEFT) % 6, (600,)),  # no context on the left
        (2, 0, 6_072, (3_000,)),
        (3, None, None, None),  # its centre is N
        (5, 3_528, 9_000, (3_072,)),  # cut at the contig's end, to whole six-mers
        (7, 6_000, 9_000, (2_702,)),  # leading N stripped
    ],
)
def test_the_window_of_a_cell(cell, start, end, offsets, fasta):
    contig = Reference(fasta).contig("chr1")
    window = reference_window(contig, GEOMETRY, cell, CENTRE)
    if start is None:
        assert window is None
        return
    assert (window.start, window.end, window.loci) == (start, end, offsets)
    assert window.sequence == contig.fetch(start, end)
    assert len(window.sequence) % K == 0
    assert (window.start - max(0, cell * 1_200 - LEFT)) % K == 0  # the phase that scoring has


def test_loci_on_n_are_left_out(fasta):
    contig = Reference(fasta).contig("chr1")
    window = reference_window(contig, GEOMETRY, 2, Loci(300))
    places = [window.start + offset for offset in window.loci]
    assert places == [2_400, 2_700, 3_000, 3_300]
    assert reference_window(contig, GEOMETRY, 3, Loci(300)) is None
    assert reference_window(contig, GEOMETRY, 3, WHOLE).loci == ()


@pytest.mark.parametrize(
    ("regions", "blocks"),
    [
        (None, {"chr1": [3, 3, 2], "chr2": [2], "chrN": [3], "tiny": [1]}),
        ([Region("chr1", 0, 1)], {"chr1": [1]}),
        ([Region("chr1", 1_199, 1_201)], {"chr1": [2]}),
        ([Region("chr1", 0, 10), Region("chr1", 20, 30), Region("chr1", 3_000, 4_000)], {"chr1": [2, 1]}),
        ([Region("chr2", 0, 2_000)], {"chr2": [2]}),
    ],
)
def test_cells_of_regions_come_in_blocks_once(regions, blocks, fasta):
    source = FastaWindows(fasta, GEOMETRY, regions=regions, block_cells=3)
    found: dict[str, list[int]] = {}
    for block in source.blocks():
        found.setdefault(block.contig, []).append(source.n_cells(block))
    assert found == blocks
    assert [block.block for block in source.blocks() if block.contig == "chr1"] == list(
        range(len(blocks.get("chr1", ())))
    )
    again = pickle.loads(pickle.dumps(source))
    assert again.blocks() == source.blocks()
    assert [list(again.windows(b)) for b in again.blocks()] == [
        list(source.windows(b)) for b in source.blocks()
    ]


def test_contigs_without_a_base_or_a_six_mer_have_no_windows(fasta):
    source = FastaWindows(fasta, GEOMETRY, WHOLE)
    by_contig = {block.contig: len(list(source.windows(block))) for block in source.blocks()}
    assert by_contig == {"chr1": 8, "chr2": 2, "chrN": 0, "tiny": 0}
    assert source.short_contigs() == ["chr2", "chrN", "tiny"]
    assert sum(map(source.n_bp, source.blocks())) == sum(LENGTHS.values())


def test_the_plan_counts_by_hand(fasta):
    source = FastaWindows(fasta, GEOMETRY, Loci(600), [Region("chr1", 1_200, 3_600)])
    plan = plan_of(source, Pool("span_mean", 3), d_state=16)
    # Loci 0 and 600 of a cell lie 2,472 and 3,072 bases into a window: tokens 412 and 512.
    assert (plan.blocks, plan.windows, plan.states, plan.n_bp) == (1, 2, 4, 2_400)
    assert plan.n_tok == 2 * (1 + 512 + 3 + 1)
    assert plan.short_contigs == 0
    with pytest.raises(ConfigError, match="config-invalid"):
        plan_of(FastaWindows(fasta, GEOMETRY, Loci(1)), Pool("span_mean", 3), d_state=4_096 * 64)


# Their states


def encoded(fasta, model, cache, place=None, loci=CENTRE, on_block=lambda _: None, **changes):
    """Encode into a cache, one thread everywhere, and give the accounts."""
    before = torch.get_num_threads()
    source = FastaWindows(fasta, GEOMETRY, loci, block_cells=2)
    work = EncodeBlocks(source, choice_of(model, **changes), cache, ("cpu",), threads=1)
    try:
        return encode_windows(work, place or Here(), on_block=on_block)
    finally:
        torch.set_num_threads(before)


def totals(accounts):
    return tuple(
        sum(getattr(account, name) for account in accounts)
        for name in ("windows", "encoded", "states", "kept")
    )


def states_of(cache, fasta, model, loci=CENTRE, **changes):
    """What a cache has for every window, by key."""
    encoder = choice_of(model, **changes).load("cpu", None)
    encoding = Encoding(encoder.encoder_hash, 2, encoder.pool_type, encoder.pool_radius, "fp32")
    source = FastaWindows(fasta, GEOMETRY, loci, block_cells=2)
    keys = {
        StateKey.of(window, encoding, encoder.center_tok(locus)): None
        for block in source.blocks()
        for window in source.windows(block)
        for locus in window.loci or (None,)
    }
    with StateCache(cache, create=False) as held:
        states, found = held.get_many(list(keys))
        assert held.problems == ()
    assert found.all()
    return {key: states[i].tobytes() for i, key in enumerate(keys)}


def test_a_cached_state_is_the_encoders(fasta, model, tmp_path):
    accounts = encoded(fasta, model, tmp_path)
    assert totals(accounts) == (8, 8, 8, 0)
    assert {account.block.contig for account in accounts if not account.n_bytes} == {"chrN", "tiny"}
    states = states_of(tmp_path, fasta, model)
    encoder = choice_of(model).load("cpu", None)
    source = FastaWindows(fasta, GEOMETRY, block_cells=2)
    for window in source.windows(WindowBlock("chr2", 0)):
        expected = encoder.pool_loci(window.sequence, window.loci)
        key = next(key for key in states if key == StateKey.of(window, key.encoding, window.loci[0] // K))
        assert np.allclose(np.frombuffer(states[key], np.float32), expected[0], atol=1e-6)


@pytest.mark.parametrize("changes", [{}, {"dtype": "bf16", "pool_type": "global_mean"}, {"state_layer": 1}])
def test_the_identity_is_known_before_the_encoder_is_loaded(model, changes):
    choice = choice_of(model, **changes)
    assert choice.identity(model.manifest) == choice.load("cpu", None).identity


def test_a_cache_names_its_encoders_and_knows_those_of_the_same_states(model, tmp_path):
    old = choice_of(model).identity(model.manifest)
    new = dataclasses.replace(old, revision="b" * 40, tokenizer={"tokenizer.py": "0" * 64})
    other = choice_of(model, state_layer=1).identity(model.manifest)
    folder = record_encoder(tmp_path, old)
    assert record_encoder(tmp_path, old) == folder
    assert EncoderIdentity.read(folder) == old
    record_encoder(tmp_path, other)
    (tmp_path / "encoders" / "cut-off").mkdir()
    assert same_states(tmp_path, old) == []
    assert same_states(tmp_path, new) == [folder]


def test_what_is_there_is_not_encoded_again_and_other_loci_are_added(fasta, model, tmp_path):
    encoded(fasta, model, tmp_path)
    before = states_of(tmp_path, fasta, model)
    assert totals(encoded(fasta, model, tmp_path)) == (8, 0, 0, 8)
    more = totals(encoded(fasta, model, tmp_path, loci=Loci(600)))
    assert more[2] > 8
    assert more[3] > 0  # 600 is the centre of a cell of 1,200
    assert states_of(tmp_path, fasta, model) == before
    assert len(states_of(tmp_path, fasta, model, Loci(600))) == more[2] + more[3]
    assert totals(encoded(fasta, model, tmp_path, loci=Loci(600)))[2] == 0


def test_untargeted_states_of_whole_windows(fasta, model, tmp_path):
    options = {"pool_type": "global_mean", "loci": WHOLE}
    assert totals(encoded(fasta, model, tmp_path, **options)) == (
        10,
        8,
        8,
        0,
    )  # two pairs of cells share a window
    assert {key.center_tok for key in states_of(tmp_path, fasta, model, **options)} == {-1}


@pytest.mark.slow  # three processes import PyTorch
def test_two_processes_and_a_killed_one_make_the_same_states(fasta, model, tmp_path):
    encoded(fasta, model, tmp_path / "one")
    killed = []

    def kill_one(_):
        if not killed:
            killed.append(multiprocessing.active_children()[0].pid)
            os.kill(killed[0], signal.SIGKILL)

    accounts = encoded(fasta, model, tmp_path / "two", Processes(2), on_block=kill_one)
    assert killed
    assert len(accounts) == len(FastaWindows(fasta, GEOMETRY, block_cells=2).blocks())
    assert states_of(tmp_path / "two", fasta, model) == states_of(tmp_path / "one", fasta, model)


def test_an_interrupted_run_goes_on_with_what_is_missing(fasta, model, tmp_path):
    seen = []

    def interrupt(account):
        seen.append(account)
        if len(seen) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        encoded(fasta, model, tmp_path, on_block=interrupt)
    done = totals(seen)[2]
    assert 0 < done < 8
    assert totals(encoded(fasta, model, tmp_path)) == (8, 8 - done, 8 - done, done)


def ray_workers(mark):
    """Ray's workers that were started under an environment with a mark."""
    for path in Path("/proc").glob("[0-9]*"):
        try:
            is_worker = b"MapWorker" in (path / "cmdline").read_bytes()
            if is_worker and mark.encode() in (path / "environ").read_bytes():
                yield int(path.name)
        except OSError:
            continue


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Ray has its own ideas of what warnings are for
def test_ray_with_a_killed_actor_makes_the_same_states(fasta, model, tmp_path, monkeypatch):
    pytest.importorskip("ray")
    mark = f"GENOLEWM_TEST={tmp_path}"
    monkeypatch.setenv(*mark.split("="))
    encoded(fasta, model, tmp_path / "one")
    killed = []

    def kill_one(_):
        if not killed:
            killed.append(next(ray_workers(mark)))
            os.kill(killed[0], signal.SIGKILL)

    encoded(fasta, model, tmp_path / "ray", Cluster("local", 1), on_block=kill_one)
    assert killed
    assert states_of(tmp_path / "ray", fasta, model) == states_of(tmp_path / "one", fasta, model)
