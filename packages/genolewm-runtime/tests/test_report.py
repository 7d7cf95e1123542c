"""The report: reading tables, what is computed from them, and a page that hostile names cannot leave."""

import base64
import hashlib
import itertools
import json
import re
from collections import Counter
from html.parser import HTMLParser

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genolewm_core.errors import ConfigError, InputError, ResourceError
from genolewm_core.genome.vcf import FAILED_REASONS, SKIPPED_REASONS
from genolewm_runtime.display import BANNER
from genolewm_runtime.receipt import receipt_path
from genolewm_runtime.report.account import account_of
from genolewm_runtime.report.chromosomes import contig_order, ideogram_of
from genolewm_runtime.report.distribution import HEIGHT, histograms_of
from genolewm_runtime.report.embedded import PERCENT, embed
from genolewm_runtime.report.facts import facts_of
from genolewm_runtime.report.page import _percent, render, report_path, write_report
from genolewm_runtime.report.reading import COLUMNS, LATER_COLUMNS, Scores, read_scores
from genolewm_runtime.report.standing import with_standing
from genolewm_runtime.report.words import bucket_words, reason_words

SCHEMA = {**COLUMNS, **LATER_COLUMNS}
RECEIPT = {
    "demonstration": False,
    "guard": "seccomp",
    "model_name": "carbon",
    "n_tok": 12_345,
    "options": {"geometry": {"window_bp": 12_288}, "phases": 1, "later": [True, None]},
    "reasons": {},
    "rows": {"scored": 3},
}


def row(number, **changes):
    """A scored substitution of chr1, with what is asked for."""
    plain = {
        "row": number,
        "allele": 1,
        "chrom": "chr1",
        "pos": 1_000 * number,
        "ref": "A",
        "alt": "G",
        "locus": 1_000 * number,
        "edit_class": "substitution",
        "status": "scored",
        "displacement": number / 100,
        "sigma_raw": number / 100,
        "head": "displacement",
    }
    merged = {**plain, **changes}
    sources = {f"source_{name}": merged[name] for name in ("chrom", "pos", "ref", "alt")}
    return {**sources, **merged}


def table(*rows):
    return pl.DataFrame([{name: line.get(name) for name in SCHEMA} for line in rows], schema=SCHEMA)


def unscored(number, status, reason):
    return row(
        number, status=status, reason=reason, edit_class=None, displacement=None, sigma_raw=None, head=None
    )


HOSTILE = [
    "</script><script>alert(1)</script>",
    "<!--<script>",
    '"><img src=x onerror=alert(1)>',
    "=HYPERLINK(1)",
    "{{ 7*7 }}",
    "a&amp;b",
    "it's",
]


# Reading


def write(path, frame):
    if path.suffix == ".parquet":
        frame.write_parquet(path)
    elif path.suffix == ".tsv":
        frame.write_csv(path, separator="\t")
    else:
        frame.write_ndjson(path)
    return path


@pytest.mark.parametrize("ending", [".parquet", ".tsv", ".jsonl"])
def test_every_format_reads_the_same(ending, tmp_path):
    frame = table(
        row(1, gene='G"1', low_confidence=True, confidence=0.25, sigma_calibrated=0.5, flags="n_in_span"),
        row(2, low_confidence=False, chrom="7"),
        unscored(3, "failed", "ref_mismatch"),
    )
    found = read_scores(write(tmp_path / f"s{ending}", frame))
    assert found.table.equals(frame)
    assert found.receipt is None
    assert found.has("gene")
    assert not found.has("ensemble")


@pytest.mark.parametrize("ending", [".parquet", ".tsv", ".jsonl"])
def test_an_older_table_has_no_percentiles(ending, tmp_path):
    frame = table(row(1), row(2)).drop(LATER_COLUMNS)
    found = read_scores(write(tmp_path / f"s{ending}", frame))
    assert not any(found.has(name) for name in LATER_COLUMNS)
    assert found.table["displacement"].to_list() == [0.01, 0.02]


def damage(path, what):
    good = write(path, table(row(1)))
    data = good.read_bytes()
    if what == "truncated":
        good.write_bytes(data[: len(data) // 2])
    elif what == "empty":
        good.write_bytes(b"")
    elif what == "other format":
        good.write_text("chr1\t12345\tACGTACGT\n")
    elif what == "no column":
        write(path, table(row(1)).drop("edit_class"))
    elif what == "status":
        write(path, table(row(1, status="guessed")))
    elif what == "percentile":
        write(path, table(row(1, sigma_calibrated=1.5)))
    elif what == "infinite":
        write(path, table(row(1, delta_ll=float("inf"))))
    elif what == "no position":
        write(path, table(row(1, pos=None)))
    elif what == "missing":
        good.unlink()
    elif what == "folder":
        good.unlink()
        good.mkdir()
    return path


@pytest.mark.parametrize("ending", [".parquet", ".tsv", ".jsonl"])
@pytest.mark.parametrize(
    "what",
    [
        "truncated",
        "empty",
        "other format",
        "no column",
        "status",
        "percentile",
        "infinite",
        "no position",
        "missing",
        "folder",
    ],
)
def test_a_bad_table_is_refused(what, ending, tmp_path):
    if (what, ending) == ("infinite", ".jsonl"):
        pytest.skip("JSON has no infinite numbers")
    with pytest.raises(InputError) as caught:
        read_scores(damage(tmp_path / f"s{ending}", what))
    assert caught.value.code == "scores-unreadable"
    assert "ACGTACGT" not in str(caught.value)
    assert "12345" not in str(caught.value)


@pytest.mark.parametrize("name", ["s.vcf", "s", "s.parquet.receipt.json"])
def test_another_kind_of_file_is_refused(name, tmp_path):
    (tmp_path / name).write_text("x")
    with pytest.raises(InputError, match="parquet") as caught:
        read_scores(tmp_path / name)
    assert caught.value.code == "scores-unreadable"


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_flipped_bytes_never_crash_the_reader(data):
    # In memory of the test process a crash would be a panic of the reading library, which is no Exception.
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder) / "s.parquet", table(*map(row, range(1, 20))))
        content = bytearray(path.read_bytes())
        for place in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=4)):
            content[place] ^= data.draw(st.integers(1, 255))
        path.write_bytes(content)
        code = "scores-unreadable"
        try:
            read_scores(path)
        except InputError as error:
            code = error.code
        assert code == "scores-unreadable"


@pytest.mark.parametrize(
    "receipt",
    [
        "{",
        "[]",
        "{}",
        json.dumps({**RECEIPT, "rows": {"scored": 2}}),
        json.dumps({**RECEIPT, "demonstration": 1}),
    ],
)
def test_a_foreign_receipt_is_refused(receipt, tmp_path):
    path = write(tmp_path / "s.parquet", table(row(1), row(2), row(3)))
    receipt_path(path).write_text(receipt)
    with pytest.raises(InputError) as caught:
        read_scores(path)
    assert caught.value.code == "receipt-unreadable"
    receipt_path(path).write_text(json.dumps(RECEIPT))
    assert read_scores(path).receipt == RECEIPT


@pytest.mark.parametrize(
    ("hidden", "shown"),
    [("\x1b[31m", "\\x1b[31m"), ("\u202e", "\\u202e"), ("\u2028", "\\u2028"), ("\x9b", "\\x9b")],
)
def test_hidden_characters_are_written_out(hidden, shown, tmp_path):
    found = read_scores(write(tmp_path / "s.parquet", table(row(1, gene=f"a{hidden}b"))))
    assert found.table["gene"].to_list() == [f"a{shown}b"]
    assert hidden not in render(found)


# What is computed


@given(st.lists(st.sampled_from(["scored", *SKIPPED_REASONS, *FAILED_REASONS]), max_size=60))
@settings(deadline=None)
def test_every_row_is_accounted_for(outcomes):
    lines = [
        row(i)
        if outcome == "scored"
        else unscored(i, "failed" if outcome in FAILED_REASONS else "skipped", outcome)
        for i, outcome in enumerate(outcomes, start=1)
    ]
    account = account_of(table(*lines))
    counts = Counter(outcomes)
    assert account.n_scored == counts.pop("scored", 0)
    assert {group.reason: group.n_rows for group in account.unscored} == counts
    assert account.n_rows == account.n_scored + account.n_skipped + account.n_failed == len(outcomes)
    for group in account.unscored:
        assert all(outcomes[number - 1] == group.reason for number in group.records)


@pytest.mark.parametrize(
    "reason", [*SKIPPED_REASONS, *FAILED_REASONS, "sixmer_unreadable", "score_undefined"]
)
def test_every_reason_has_plain_words(reason):
    assert reason_words(reason).endswith(".")
    assert reason_words(reason) != reason_words(None)


def test_without_percentiles_classes_stand_apart_and_scores_turn_the_right_way():
    lines = [row(i) for i in range(1, 201)]
    lines += [
        row(200 + i, edit_class="indel_out_of_phase", head="delta_ll", sigma_raw=-float(i))
        for i in range(1, 51)
    ]
    standing = with_standing(table(*lines), calibrated=False)
    # One in a hundred, at least one: the two largest displacements, and the lowest log-likelihood.
    assert standing.filter("high")["row"].to_list() == [199, 200, 250]
    assert standing.sort("standing", descending=True, maintain_order=True)["row"][:2].to_list() == [200, 250]


def test_percentiles_decide_where_there_are_some():
    standing = with_standing(
        table(
            row(1, sigma_calibrated=0.99),
            row(2, sigma_calibrated=0.98),
            row(3),
            row(4, sigma_calibrated=1e-4),
            unscored(5, "skipped", "breakend"),
        ),
        calibrated=True,
    )
    assert standing.filter("high")["row"].to_list() == [1]
    assert standing.sort("standing", descending=True)["row"].to_list() == [1, 2, 4, 3]


def test_histograms_hold_every_value_of_their_class():
    rng = np.random.default_rng(3)
    lines = [row(i, sigma_calibrated=float(rng.random())) for i in range(1, 401)]
    lines += [
        row(
            400 + i,
            edit_class="indel_in_phase",
            sigma_calibrated=0.97,
            bucket_id="synthetic:indel_in_phase|*|*|*|*",
        )
        for i in range(1, 11)
    ]
    lines += [
        row(500 + i, edit_class="indel_out_of_phase", head="delta_ll", sigma_raw=-float(i)) for i in (1, 2)
    ]
    lines += [row(600)]
    first, second, third = histograms_of(with_standing(table(*lines), calibrated=True))
    values = [line["sigma_calibrated"] for line in lines[:400]]
    assert [bar.n for bar in first.bars] == [
        sum(k / 20 <= v < (k + 1) / 20 for v in values) for k in range(20)
    ]
    assert (first.n, first.n_without, first.synthetic) == (400, 1, False)
    # The line is as high as a bar of a twentieth of the variants.
    assert HEIGHT - first.expected_y == pytest.approx(
        first.bars[0].height * 0.05 / first.bars[0].share, abs=0.1
    )
    assert [bar.n for bar in second.bars] == [0] * 19 + [10]
    assert second.synthetic
    assert (third.percentiles, third.head, third.n, third.expected_y) == (False, "delta_ll", 2, None)


def test_equal_raw_scores_make_one_bar():
    (only,) = histograms_of(
        with_standing(table(row(1, sigma_raw=0.0), row(2, sigma_raw=0.0)), calibrated=False)
    )
    assert sorted(bar.n for bar in only.bars)[-2:] == [0, 2]


def cells(path):
    return [(float(a), float(b)) for a, b in re.findall(r"M([\d.]+) 0H([\d.]+)V1", path)]


@given(st.lists(st.tuples(st.sampled_from(["chr1", "chr2"]), st.integers(0, 10**9)), min_size=1, max_size=60))
@settings(deadline=None)
def test_every_variant_lies_in_one_shaded_cell(places):
    lines = [row(i, chrom=chrom, pos=pos) for i, (chrom, pos) in enumerate(places, start=1)]
    ideogram = ideogram_of(with_standing(table(*lines), calibrated=False))
    assert sum(track.n for track in ideogram.tracks) == len(places)
    scale = 1_000 / max(ideogram.end - ideogram.start, 1)
    for track in ideogram.tracks:
        shaded = [cell for path in track.shades for cell in cells(path)]
        for chrom, pos in places:
            if chrom == track.chrom:
                x = (pos - ideogram.start) * scale
                assert any(a - 0.02 <= x <= b + 0.02 for a, b in shaded)
        ordered = sorted(shaded)
        assert all(b <= c for (_, b), (c, _) in itertools.pairwise(ordered))
        assert len(track.marks) >= 1 or track.n_high == 0


def test_contigs_come_in_the_usual_order():
    names = ["chrM", "chrX", "chr10", "chr2", "HLA*1", "chrY", "chr1", "chrUn_1"]
    usual = ["chr1", "chr2", "chr10", "chrX", "chrY", "chrM", "HLA*1", "chrUn_1"]
    assert sorted(names, key=contig_order) == usual


def test_many_contigs_are_drawn_up_to_a_number_and_the_rest_counted():
    lines = [row(i, chrom=f"scaffold_{i % 40}") for i in range(1, 101)]
    ideogram = ideogram_of(with_standing(table(*lines), calibrated=False))
    assert len(ideogram.tracks) + ideogram.n_other_contigs == 40
    assert sum(track.n for track in ideogram.tracks) + ideogram.n_other == 100
    assert ideogram.n_other_contigs > 0


def decoded(data):
    """The rows of an embedded table, as the page's script reads them."""
    n = data["n"]
    columns = {
        name: values if isinstance(values, list) else [values] * n for name, values in data["columns"].items()
    }
    for name in ("row", "pos"):
        columns[name] = list(itertools.accumulate(columns[name]))
    for name, texts in data["texts"].items():
        columns[name] = [None if code < 0 else texts[code] for code in columns[name]]
    return [{name: columns[name][i] for name in columns} for i in range(n)]


NAMES = st.one_of(st.none(), st.sampled_from([*HOSTILE, "BRCA1"]))


@given(
    st.lists(
        st.tuples(NAMES, st.one_of(st.none(), st.floats(0, 1)), st.integers(1, 10**9), st.floats(-9, 9)),
        max_size=30,
    )
)
@settings(deadline=None, max_examples=60)
def test_the_embedded_table_gives_the_rows_back(found):
    lines = [
        row(i, gene=gene, sigma_calibrated=percentile, pos=pos, locus=pos + 1, sigma_raw=raw)
        for i, (gene, percentile, pos, raw) in enumerate(found, start=1)
    ]
    back = decoded(embed(with_standing(table(*lines), calibrated=True), 1_000).data)
    assert len(back) == len(lines)
    for line, again in zip(lines, back, strict=True):
        for name in ("row", "allele", "chrom", "pos", "ref", "alt", "gene", "edit_class", "head"):
            assert again[name] == line[name]
        assert again["locus"] == 1
        assert again["sigma_raw"] == pytest.approx(line["sigma_raw"], rel=1e-4)
        if line["sigma_calibrated"] is None:
            assert again["sigma_calibrated"] is None
        else:
            assert again["sigma_calibrated"] / PERCENT == pytest.approx(line["sigma_calibrated"], abs=1e-5)


def test_a_cut_table_keeps_the_highest_in_the_files_order():
    lines = [row(i, sigma_calibrated=p) for i, p in enumerate([0.2, 0.9, 0.1, 0.9, 0.5], start=1)]
    cut = embed(with_standing(table(*lines), calibrated=True), 3)
    assert [line["row"] for line in decoded(cut.data)] == [2, 4, 5]
    assert (cut.n_rows, cut.n_left_out) == (3, 2)


def test_the_inputs_spelling_is_kept_where_it_differs():
    lines = [row(1), row(2, source_pos=5, source_ref="AA"), row(3, source_chrom="1")]
    data = embed(with_standing(table(*lines), calibrated=False), 9).data
    assert data["sources"] == {"1": "5:AA:G"}
    assert [line["source_chrom"] for line in decoded(data)] == ["chr1", "chr1", "1"]


@pytest.mark.parametrize(
    ("bucket", "parts"),
    [
        ("substitution|3|*|*|*", ["common substitutions", "offset 3"]),
        ("indel_out_of_phase|*|*|*|*", ["common insertions and deletions", "not a multiple"]),
        ("substitution|0|coding|high|simple", ["coding", "many G and C", "tandem repeat"]),
        ("synthetic:indel_in_phase|*|*|*|*", ["made-up (synthetic)", "too few common variants"]),
        ("of another version", ["of another version"]),
    ],
)
def test_buckets_in_plain_words(bucket, parts):
    assert all(part in bucket_words(bucket) for part in parts)
    assert "*" not in bucket_words(bucket)


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.0, "0.0"), (0.5, "50.0"), (0.98999, "98.9"), (0.99, "99.00"), (0.99996, "99.99"), (1.0, "100.00")],
)
def test_a_percentile_is_rounded_down(share, text):
    assert _percent(share) == text


def test_facts_name_every_leaf_of_a_receipt_but_the_counts():
    facts = dict(facts_of(RECEIPT))
    assert facts["Tokens run through the model"] == "12,345"
    assert facts["Window (bases)"] == "12,288"
    assert facts["later"] == "yes, none"
    assert "seccomp" in facts["What kept the network closed"]
    assert len(facts) == 7


# The page


class Elements(HTMLParser):
    """Elements with their attributes, and the text of scripts and styles."""

    def __init__(self, page):
        super().__init__()
        self.found, self.texts, self.inside = [], [], None
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        if tag in ("script", "style"):
            self.texts.append("")
        self.inside = tag

    def handle_data(self, data):
        if self.inside in ("script", "style"):
            self.texts[-1] += data

    def handle_endtag(self, tag):
        self.inside = None

    def of(self, tag):
        return [attributes for name, attributes in self.found if name == tag]


def hostile_page(**changes):
    lines = [
        row(
            i,
            chrom=text,
            gene=text,
            consequence=text,
            flags=text,
            bucket_id=text,
            sigma_calibrated=0.5,
            source_ref=text,
        )
        for i, text in enumerate(HOSTILE, start=1)
    ]
    lines += [unscored(99, "skipped", HOSTILE[0])]
    receipt = {
        **RECEIPT,
        "model_name": HOSTILE[0],
        HOSTILE[0]: HOSTILE[2],
        "rows": {"scored": 7, "skipped": 1},
    }
    return render(Scores(HOSTILE[0], table(*lines), {**receipt, **changes}))


@pytest.mark.parametrize("demonstration", [True, False])
def test_hostile_names_stay_text(demonstration):
    page = hostile_page(demonstration=demonstration)
    elements = Elements(page)
    plain = Elements(render(Scores("s.parquet", table(row(1, sigma_calibrated=0.5)), RECEIPT)))
    assert len(elements.of("script")) == len(plain.of("script")) == 2
    assert not elements.of("img")
    assert "<!--" not in page
    style, data, script = elements.texts
    assert {text for text in json.loads(data)["texts"]["gene"]} == set(HOSTILE)
    policy = next(meta["content"] for meta in elements.of("meta") if "http-equiv" in meta)
    for text, kind in ((style, "style-src"), (script, "script-src")):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{kind} 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy


def test_the_page_names_nothing_outside():
    elements = Elements(hostile_page())
    for tag, attributes in elements.found:
        assert not {"src", "srcset", "style", "action", "ping"} & set(attributes), tag
        assert not any(name.startswith("on") for name in attributes), tag
        assert attributes.get("href", "#").startswith("#"), tag
        assert tag not in ("link", "iframe", "object", "embed", "base")
    style, _, script = elements.texts
    assert "url(" not in style
    assert "@import" not in style
    for word in (
        "innerHTML",
        "fetch(",
        "XMLHttpRequest",
        "eval(",
        "://",
        "localStorage",
        "pushState",
        "replaceState",
    ):
        assert word not in script


@pytest.mark.parametrize("percentile", [None, 0.5])
def test_no_word_of_diagnosis(percentile):
    page = render(
        Scores(
            "s.parquet", table(row(1, sigma_calibrated=percentile, gene="G", consequence="missense")), RECEIPT
        )
    )
    for word in ("risk", "pathogen", "benign", "harmful", "deleterious", "disease"):
        assert word not in page.lower(), word


def test_the_banner_and_the_notices():
    lines = table(row(1), row(2), row(3))
    known = render(Scores("s.parquet", lines, RECEIPT))
    demonstration = render(Scores("s.parquet", lines, {**RECEIPT, "demonstration": True}))
    unknown = render(Scores("s.parquet", lines, None))
    assert known.index(BANNER) < known.index("</header>")
    assert "demonstration model.</strong>" in demonstration
    assert "demonstration model.</strong>" not in known
    assert "There is no receipt" in unknown
    assert "There is no receipt" not in known


def test_a_cut_table_is_never_silent():
    lines = table(*map(row, range(1, 30)))
    assert "Not all scored rows" not in render(Scores("s.parquet", lines, None))
    cut = render(Scores("s.parquet", lines, None), max_rows=10)
    assert re.search(r"It holds the 10\s+that stand highest in their class;\s+19 others are left out", cut)


def test_without_script_the_highest_rows_are_there():
    lines = table(*(row(i, sigma_calibrated=i / 200) for i in range(1, 101)))
    page = render(Scores("s.parquet", lines, RECEIPT))
    shown = re.findall(r"<td>chr1</td><td class=\"number\">([\d,]+)</td>", page[page.index("<noscript>") :])
    assert shown == [f"{i * 1_000:,}" for i in range(100, 50, -1)]


@pytest.mark.parametrize(
    "lines", [[], [unscored(1, "skipped", "breakend")], [row(1, sigma_raw=None, head=None)]]
)
def test_a_table_without_scores_still_has_a_page(lines):
    page = render(Scores("s.parquet", table(*lines), None))
    assert "nothing to draw" in page
    assert BANNER in page


# Writing


def test_a_page_is_written_beside_its_table(tmp_path):
    path = write(tmp_path / "a b.parquet", table(row(1), row(2)))
    written = write_report(path)
    assert written.path == report_path(path) == tmp_path / "a b.html"
    first = written.path.read_bytes()
    with pytest.raises(ConfigError) as caught:
        write_report(path)
    assert caught.value.code == "output-exists"
    write_report(path, fresh=True)
    assert written.path.read_bytes() == first
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a b.html", "a b.parquet"]


@pytest.mark.parametrize(
    ("output", "rows", "kind", "code"),
    [
        ("page.pdf", 10, ConfigError, "output-format"),
        ("page.html", 0, ConfigError, "config-invalid"),
        ("missing/page.html", 10, ResourceError, "output-unwritable"),
    ],
)
def test_what_cannot_be_written_is_refused(output, rows, kind, code, tmp_path):
    path = write(tmp_path / "s.parquet", table(row(1)))
    with pytest.raises(kind) as caught:
        write_report(path, tmp_path / output, max_rows=rows)
    assert caught.value.code == code
    assert [file.name for file in tmp_path.iterdir()] == ["s.parquet"]
