"""Both studies on a tiny random model, each number that decides held against a longer way to it."""

import json
import shutil

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from genolewm_core.artifacts.manifest import Contract
from genolewm_core.errors import ConfigError, EvaluationError
from genolewm_core.genome.alleles import Replacement, shift_right
from genolewm_core.scoring.branches import MAX_PACK, plan_pass
from genolewm_core.scoring.cells import Geometry, StrandView
from genolewm_core.scoring.heads import HEADS, spans_of
from genolewm_core.scoring.passes import PassOptions, score_cell
from genolewm_core.scoring.sixmer import K, Vocabulary
from genolewm_core.testing.conformance import TEST_ARCHITECTURE, random_model
from genolewm_core.testing.models import write_model
from genolewm_encoder.llama import TorchBackend
from genolewm_encoder.loading import llama_model
from genolewm_train.brca1 import auroc
from genolewm_train.studies import contract_page, phases_page
from genolewm_train.studies.command import study
from genolewm_train.studies.contract import Grid, Setting, displacements
from genolewm_train.studies.contract_summary import ContractResults, summarise
from genolewm_train.studies.layers import LayerBackend, split_pack
from genolewm_train.studies.parts import compute_cells
from genolewm_train.studies.phases import PASSES, PLANS, score_passes
from genolewm_train.studies.resampling import auroc_B, correlation_B, draw, ranks_BN, spearman_brown
from genolewm_train.studies.run import run_contract
from genolewm_train.studies.variants import (
    StudyCell,
    StudyEdit,
    brca1_cells,
    clinvar_missense_cells,
    common_and_synthetic_cells,
    in_phase_indel_cells,
    open_references,
    personal_cells,
)

CONTRACT = Contract(window_bp=6_144, cell_bp=3_072, state_layer=2)
GEOMETRY = Geometry(CONTRACT.window_bp, CONTRACT.cell_bp)
CHR21_START = 24_985_000


class Text:
    def __init__(self, bases):
        self.bases = bases
        self.length = len(bases)

    def fetch(self, start, end):
        return self.bases[start:end]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_model(
        tmp_path_factory.mktemp("model"), TEST_ARCHITECTURE, random_model(TEST_ARCHITECTURE), CONTRACT
    )


def cell_of(contig, replacements):
    shifted = {shift_right(r, contig) for r in replacements}
    edits = tuple(StudyEdit(r) for r in sorted(shifted, key=lambda r: (r.start, r.end, r.alt)))
    assert len({GEOMETRY.cell(e.replacement.start) for e in edits}) == 1
    return StudyCell("set", "GRCh38", "1", GEOMETRY.cell(edits[0].replacement.start), edits)


def edits_at(bases, start, step, n):
    """Substitutions at every offset, deletions and insertions of six and of one base."""
    found = []
    for i in range(n):
        at = start + i * step
        other = "ACGT"["CGTA".index(bases[at])]
        found += [
            Replacement(at, at + 1, other),
            Replacement(at + 20, at + 26, ""),
            Replacement(at + 40, at + 40, "ACGTCA"),
            Replacement(at + 60, at + 61, ""),
        ]
    return found


def full_rows(tensors, text, layer):
    """Raw hidden states of a whole sequence, <dna> first, by Transformers alone."""
    ids = np.concatenate([[0], Vocabulary(0).encode(text[: len(text) // K * K])]).astype(np.int64)
    with torch.inference_mode():
        out = llama_model(TEST_ARCHITECTURE, tensors)(
            input_ids=torch.from_numpy(ids)[None], output_hidden_states=True
        )
    return out.hidden_states[layer][0].double().numpy()


def unit(vector):
    return vector / np.linalg.norm(vector)


@pytest.mark.parametrize("shift", [0, 4])
def test_displacements_equal_two_full_passes(model, random_bases, shift):
    """Every setting at two layers and two radii: reference and edited sequence run apart, whole."""
    bases = random_bases(6_000, 3)
    contig = Text(bases)
    cell = cell_of(contig, edits_at(bases, 3_500, 97, 3))
    grid = Grid((1, 2), (0, 8))
    backend = LayerBackend(model, grid.layers)
    found = displacements(backend, contig, cell, CONTRACT, grid, (shift,))
    assert found["whole"].all()
    scores = found["scores"][0].reshape(len(cell.edits), -1)
    window = GEOMETRY.window(cell.cell, StrandView(contig), shift)
    tensors = model.tensors()
    reference = bases[window.start : window.end]
    rows = {layer: full_rows(tensors, reference, layer) for layer in grid.layers}
    for edit, values in zip(cell.edits, scores, strict=True):
        r = edit.replacement
        if r.net % K:
            assert np.isnan(values).all()
            continue
        edited = bases[window.start : r.start] + r.alt + bases[r.end : window.end]
        altered = {layer: full_rows(tensors, edited, layer) for layer in grid.layers}
        c = (r.start - window.start) // K + 1
        for setting, value in zip(grid.settings(), values, strict=True):
            ref, alt = rows[setting.layer], altered[setting.layer]
            if setting.form == "normalised":
                ref, alt = (x / np.sqrt((x**2).mean(1, keepdims=True) + 1e-6) for x in (ref, alt))
            # A deletion's span reaches the first base behind it.
            end = max(c + setting.radius + 1, (r.end - window.start) // K + 2 if r.net < 0 else 0)
            begin = c - (setting.radius if setting.pool == "centered_mean" else 0)
            a, b = ref[begin:end].mean(0), alt[begin : end + r.net // K].mean(0)
            expected = (
                np.linalg.norm(unit(b) - unit(a)) if setting.distance == "unit" else np.linalg.norm(b - a)
            )
            assert value == pytest.approx(expected, rel=2e-4, abs=1e-6), (edit, setting)


def test_contract_setting_is_the_products_displacement(model, random_bases):
    bases = random_bases(6_000, 4)
    contig = Text(bases)
    cell = cell_of(contig, edits_at(bases, 3_300, 131, 5))
    grid = Grid((2,), (8,))
    ours = displacements(LayerBackend(model, (2,)), contig, cell, CONTRACT, grid, (0,))["scores"][
        0, :, 0, 0, 0, 0, 0
    ]
    product = score_cell(
        TorchBackend(TEST_ARCHITECTURE, model.tensors(), 2),
        contig,
        cell.cell,
        [e.replacement for e in cell.edits],
        PassOptions(GEOMETRY, heads=("displacement",)),
    ).values["displacement"]
    np.testing.assert_allclose(ours, product, rtol=1e-4)
    assert np.isfinite(ours).sum() == 15


def test_passes_average_to_the_products_phases_and_strands(model, random_bases):
    bases = random_bases(6_000, 5)
    contig = Text(bases)
    cell = cell_of(contig, edits_at(bases, 3_400, 101, 5))
    replacements = [e.replacement for e in cell.edits]
    backend = TorchBackend(TEST_ARCHITECTURE, model.tensors(), 2)
    found = score_passes(backend, contig, cell, CONTRACT)
    assert found["values"].shape == (12, 3, 20)
    for plan in (PLANS[0], PLANS[2], PLANS[5]):
        own = list(plan.sets()[0])
        for heads in (HEADS, (*HEADS, "indel_displacement")):
            options = PassOptions(
                GEOMETRY, heads=heads, both_strands=plan.strands == "+-", phases=plan.phases
            )
            product = score_cell(backend, contig, cell.cell, replacements, options)
            if heads == HEADS:
                assert found["n_tok"][own].sum() == product.n_tok
                continue
            for h, head in enumerate(HEADS):
                np.testing.assert_allclose(
                    found["values"][own, h].mean(axis=0), product.values[head], rtol=1e-3, atol=1e-5
                )


def test_sets_of_a_plan_are_disjoint_and_cover_its_strands():
    for plan in PLANS:
        sets = plan.sets()
        members = [i for one in sets for i in one]
        assert sorted(members) == sorted(set(members)) == list(range(6 * len(plan.strands)))
        assert {PASSES[i][0] for i in sets[0]} == set(plan.strands)
        assert all(len(one) == plan.phases * len(plan.strands) for one in sets)


@given(
    values=st.lists(st.integers(0, 9), min_size=4, max_size=12),
    seed=st.integers(0, 99),
)
def test_resampled_statistics_equal_those_of_drawn_copies(values, seed):
    """Weights against a sample in which each variant really stands as often as it was drawn; ties included."""
    a = np.array(values, dtype=np.float64)
    b = np.random.default_rng(seed).permutation(a)
    labels = np.arange(len(a)) % 2 == 0
    weights = draw(len(a), 5, strata=labels, seed=seed)
    assert (weights[:, labels].sum(axis=1) == labels.sum()).all()
    rho = correlation_B(ranks_BN(a, weights), ranks_BN(b, weights))
    area = auroc_B(a, labels, weights)
    for row, r, auc in zip(weights.astype(int), rho, area, strict=True):
        x, y = np.repeat(a, row), np.repeat(b, row)
        rank_x, rank_y = ((v[:, None] > v).sum(1) + (v[:, None] == v).sum(1) / 2 for v in (x, y))
        varies = len(set(x)) > 1 and len(set(y)) > 1
        assert r == pytest.approx(np.corrcoef(rank_x, rank_y)[0, 1] if varies else 0, abs=1e-5)
        assert auc == pytest.approx(auroc(x, np.repeat(labels, row)))


def test_an_empty_class_has_no_auroc():
    with pytest.raises(EvaluationError):
        auroc_B(np.arange(3.0), np.array([True, True, True]), draw(3, 5))


def test_spearman_brown_by_hand():
    # Two parallel measures of reliability 0.5 average to one of 2 * 0.5 / 1.5.
    assert spearman_brown(np.array([0.5]), 2) == pytest.approx([2 / 3])


def test_split_packs_hold_every_branch_once(random_bases):
    bases = random_bases(6_000, 6)
    view = StrandView(Text(bases))
    edits = [Replacement(at, at + 1, "ACGT"["CGTA".index(bases[at])]) for at in range(3_200, 3_230)]
    plan = plan_pass(view, GEOMETRY.window(1, view), edits, spans_of(HEADS, radius_tok=8, ll_tok=9))
    (pack,) = plan.packs
    assert len(edits) <= MAX_PACK
    parts = list(split_pack(pack, 40))
    assert all(len(part.token_ids) <= 40 for part, _ in parts)
    assert [begin for _, begin in parts] == [36 * i for i in range(len(parts))]
    for field in ("token_ids", "positions", "prefix_tok"):
        np.testing.assert_array_equal(
            np.concatenate([getattr(p, field) for p, _ in parts]), getattr(pack, field)
        )
    for field in ("state_rows", "log_prob_rows"):
        np.testing.assert_array_equal(
            np.concatenate([getattr(p, field) + begin for p, begin in parts]), getattr(pack, field)
        )


def test_a_stopped_study_goes_on(tmp_path):
    cells = [StudyCell("set", "GRCh38", "1", i, (StudyEdit(Replacement(i, i + 1, "A")),)) for i in range(4)]
    ran = []

    def compute(cell):
        ran.append(cell.cell)
        if len(ran) == 3:
            raise KeyboardInterrupt
        return {"place": np.array([cell.cell])}

    def go(**key):
        results = compute_cells(cells, compute, tmp_path, key, show_progress=False)
        return [int(arrays["place"][0]) for _, arrays in results]

    with pytest.raises(KeyboardInterrupt):
        go(model="a")
    assert go(model="a") == [0, 1, 2, 3]
    assert ran == [0, 1, 2, 2, 3]
    go(model="b")
    assert ran[5:] == [0, 1, 2, 3]


@pytest.fixture(scope="module")
def study_data(tiny_data, tmp_path_factory):
    """The tiny data folder with a person, sites with frequencies and labelled missense variants."""
    import gzip

    folder = tmp_path_factory.mktemp("studies") / "data"
    shutil.copytree(tiny_data, folder)
    references = open_references(folder)
    chr21, one, seventeen = (
        references["GRCh38"].contig("chr21"),
        references["GRCh37"].contig("1"),
        references["GRCh37"].contig("17"),
    )

    def other(base):
        return "ACGT"["CGTA".index(base)]

    def substitution(contig, start):
        base = contig.fetch(start, start + 1)
        return start + 1, base, other(base)

    def write(name, text):
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        with gzip.open(path, "wt", encoding="utf-8") as out:
            out.write(text)

    def vcf(name, records):
        lines = [f"{c}\t{p}\t.\t{r}\t{a}\t.\t.\t{i}\n" for c, p, r, a, i in records]
        header = "##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
        write(name, header + "".join(lines))

    starts = [CHR21_START + 1_000 + 173 * i for i in range(24)]
    person = [("chr21", *substitution(chr21, s), ".") for s in starts]
    for s in starts:
        person += [
            ("chr21", s + 61, chr21.fetch(s + 60, s + 67), chr21.fetch(s + 60, s + 61), "."),
            ("chr21", s + 91, chr21.fetch(s + 90, s + 92), chr21.fetch(s + 90, s + 91), "."),
        ]
    vcf("personal/NA12878.chr20_21.PlatinumGenomes2016.GRCh38.vcf.gz", sorted(person, key=lambda r: r[1]))
    sites = [
        ("chr21", *substitution(chr21, s), f"AC=1;AF={af};AN=2")
        for s, af in zip(starts, (0.3, 0.001) * 12, strict=True)
    ]
    vcf("population/1000G.chr21_22.sites_subsample.covered.GRCh38.vcf.gz", sites)
    for name in ("1000G_phase3.chr20_1-2Mb.sites", "1000G.chr21_22.sites_subsample.covered"):
        vcf(f"population/{name}.GRCh37.vcf.gz", [])
    columns = ("chrom", "pos37", "ref", "alt", "label", "gene", "type", "consequence_lrg")
    table = [
        ("1", *map(str, substitution(one, 21_000 + 77 * i)), str(i % 2), gene, "SNV", kind)
        for i in range(20)
        for gene, kind in (("AGRN", "missense"), ("AGRN", "synonymous"), ("MTHFR", "missense"))
    ]
    lines = ["\t".join(row) for row in (columns, *table)]
    write("clinvar/clinvar_labelled.covered.shared.tsv.gz", "\n".join(lines) + "\n")
    header = ["chrom", "pos37", "ref", "alt", "consequence", "label_lof"]
    saturation = [
        (*("17", *map(str, substitution(seventeen, 30_000 + 7 * i))), "Missense", str(i % 3 % 2))
        for i in range(20)
    ]
    lines = ["\t".join(row) for row in (header, *saturation)]
    write("benchmark/BRCA1_SGE_Findlay2018.GRCh37.tsv.gz", "\n".join(lines) + "\n")
    return folder


def test_sets(study_data):
    references = open_references(study_data)
    person = personal_cells(study_data, references, GEOMETRY, 1_000)
    kinds = [edit.edit_class for cell in person for edit in cell.edits]
    assert {kind: kinds.count(kind) for kind in kinds} == {
        "substitution": 24,
        "indel_in_phase": 24,
        "indel_out_of_phase": 24,
    }
    indels = in_phase_indel_cells(study_data, references, GEOMETRY, 1_000)
    assert [e.edit_class for cell in indels for e in cell.edits] == ["indel_in_phase"] * 24
    brca1 = [e for cell in brca1_cells(study_data, references, GEOMETRY, 15) for e in cell.edits]
    assert len(brca1) == 15
    clinvar = [e for cell in clinvar_missense_cells(study_data, references, GEOMETRY, 99) for e in cell.edits]
    assert len(clinvar) == 20
    assert sum(bool(e.label) for e in clinvar) == 10


def test_synthetic_variants_make_the_same_change_elsewhere(study_data):
    references = open_references(study_data)
    cells = common_and_synthetic_cells(study_data, references, GEOMETRY, 99)
    contig = references["GRCh38"].contig("chr21")

    def changes(cell, label):
        return sorted(
            (contig.fetch(e.replacement.start - 1, e.replacement.start + 2), e.replacement.alt)
            for e in cell.edits
            if e.label is label
        )

    assert sum(len(changes(cell, False)) for cell in cells) == 12
    for cell in cells:
        assert changes(cell, True) == changes(cell, False)
        starts = [e.replacement.start for e in cell.edits]
        assert len(set(starts)) == len(starts)
        assert {GEOMETRY.cell(start) for start in starts} == {cell.cell}


@pytest.mark.parametrize("name", ["phases", "contract"])
def test_command_end_to_end(name, model, study_data, tmp_path):
    arguments = [name, "--model", model.path, "--data", study_data, "--output", tmp_path / "out"]
    arguments += ["--variants", "40", "--resamples", "20", "--no-progress", "--pages", tmp_path / "pages"]
    if name == "phases":
        arguments += ["--backend", "torch"]
    outcome = CliRunner().invoke(study, [str(a) for a in arguments], catch_exceptions=False)
    assert outcome.exit_code == 0, outcome.output
    page_of = {"phases": phases_page, "contract": contract_page}[name]
    summary = json.loads((tmp_path / "pages" / f"{name}.json").read_text())
    assert (tmp_path / "pages" / f"{name}.md").read_text() == page_of.render(summary)
    assert outcome.output == page_of.verdict(summary) + "\n"
    assert (tmp_path / "pages" / f"{name}.png").stat().st_size > 5_000
    again = CliRunner().invoke(study, [str(a) for a in arguments], catch_exceptions=False)
    assert again.output == outcome.output
    assert json.loads((tmp_path / "pages" / f"{name}.json").read_text()) == summary


def test_a_layer_that_the_model_lacks(model, study_data, tmp_path):
    with pytest.raises(ConfigError):
        run_contract(model.path, study_data, tmp_path, variants=20, resamples=20, layers=(4,))


def test_sets_of_the_real_folder(shared_data):
    references = open_references(shared_data)
    geometry = Geometry()
    person = personal_cells(shared_data, references, geometry, 200)
    assert {cell.contig for cell in person} == {"chr21"}
    assert 150 < sum(len(cell.edits) for cell in person) <= 200
    assert sum(len(cell.edits) for cell in brca1_cells(shared_data, references, geometry, 5_000)) == 3_893
    clinvar = clinvar_missense_cells(shared_data, references, geometry, 5_000)
    labels = [bool(edit.label) for cell in clinvar for edit in cell.edits]
    assert (sum(labels), len(labels)) == (434, 615)


def test_the_best_of_many_equal_settings_is_not_proposed():
    """Settings that differ by noise alone: proposed in few of many worlds, for all that are compared."""
    grid = Grid(tuple(range(1, 7)), (0, 8))
    contract = Contract(state_layer=4)
    n_settings, n = len(list(grid.settings())), 60
    proposed = 0
    for world in range(20):
        rng = np.random.default_rng(world)
        results = {
            group: ContractResults(
                rng.standard_normal((n_phases, n, 1)) + 0.3 * rng.standard_normal((n_phases, n, n_settings)),
                np.arange(n) % 3 == 0,
                np.full(n, "Missense"),
                0,
            )
            for group, n_phases in (
                ("common_and_synthetic", 3),
                ("in_phase_indels", 3),
                ("brca1", 1),
                ("clinvar_missense", 1),
            )
        }
        decision = summarise(results, grid, contract, dict.fromkeys(grid.radii, 1.0), 60)["decision"]
        proposed += decision["proposed"] != decision["own"]
    assert proposed <= 3


def test_a_setting_that_tells_the_classes_apart_is_proposed():
    grid = Grid((1, 2), (0, 8))
    contract = Contract(state_layer=2)
    settings = list(grid.settings())
    best = settings.index(Setting(1, 8, "raw", "span_mean", "plain"))
    rng = np.random.default_rng(0)
    labels = np.arange(90) % 2 == 0
    results = {}
    for group in ("common_and_synthetic", "in_phase_indels", "brca1", "clinvar_missense"):
        scores = rng.standard_normal((3, 90, len(settings)))
        scores[:, :, best] += 3 * labels
        results[group] = ContractResults(scores, labels, np.full(90, "Missense"), 0)
    decision = summarise(results, grid, contract, dict.fromkeys(grid.radii, 1.0), 100)["decision"]
    assert (decision["proposed"], decision["n_better"]) == (best, 1)
