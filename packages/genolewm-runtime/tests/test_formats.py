"""The published formats: pinned text, and the same rows in each of them."""

import gzip
import json
import struct
import subprocess
import zlib

import polars as pl
import pysam
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genolewm_core.errors import ConfigError, InputError, InternalError
from genolewm_core.genome.reference import Reference
from genolewm_core.genome.vcf import Row, read_rows
from genolewm_core.scoring.heads import HEADS
from genolewm_runtime.scoring import ScoredRow
from genolewm_runtime.writers import SCHEMA, FinishedShards, format_of, stage_table, table_of, write_shard
from genolewm_runtime.writers.bgzf import BgzfWriter

ABOUT = {"genolewm": '{"schema": "1.0.0"}'}

SOURCE = """\
##fileformat=VCFv4.2
##contig=<ID=chr1,length=9000>
##INFO=<ID=DP,Number=1,Type=Integer,Description="Depth">
##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">
#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\tone two
chr1\t7\trs1\tA\tC,*\t50\tPASS\tDP=3\tGT\t0/1
chr1\t9\t.\tG\t.\t.\t.\t.\tGT\t0/0
chr1\t9\t.\tG\tT\t1e3\tq10\t.\tGT\t./.
"""


def scored(row, allele, pos, ref, alt, **values):
    """An outcome with three scores, or one that was not scored when a reason is given."""
    reason = values.get("reason")
    status = "skipped" if reason else "scored"
    heads = dict.fromkeys(HEADS) | {name: values[name] for name in HEADS if name in values}
    return ScoredRow(
        Row(
            row, allele, "chr1", pos, ref, alt, "scorable", contig="chr1", edit_class=values.get("edit_class")
        ),
        status,
        reason,
        values.get("flags", ()),
        heads,
        heads["displacement"],
        None if reason else "displacement",
    )


ROWS = [
    scored(1, 1, 7, "A", "C", displacement=0.1, delta_ll=-1e-7, edit_class="substitution"),
    scored(1, 2, 7, "A", "*", reason="spanning_deletion"),
    scored(2, 0, 9, "G", ".", reason="no_alternate"),
    scored(
        3,
        1,
        9,
        "G",
        "T",
        displacement=0.25,
        edit_class="substitution",
        flags=("n_in_span", "span_truncated"),
    ),
]


@pytest.fixture
def stage(tmp_path):
    """Writes rows, cut into shards before each record number given, in the format of an ending."""

    def staged(ending, rows=ROWS, cuts=(3,), source=SOURCE, n_rows=None):
        vcf = tmp_path / "source.vcf"
        vcf.write_bytes(source if isinstance(source, bytes) else source.encode())
        shards, held = [], []
        for row in [*rows, None]:
            if row is None or (row.source.row in cuts and row.source.allele <= 1):
                path = tmp_path / f"{len(shards)}.parquet"
                write_shard(path, held, "{}")
                shards.append(path)
                held = []
            held.append(row)
        output = tmp_path / f"scores{ending}"
        finished = FinishedShards(shards, vcf, ABOUT)
        for file, name in stage_table(finished, output, tmp_path, len(rows) if n_rows is None else n_rows):
            file.replace(name)
        return output

    return staged


def test_jsonl_is_pinned(stage):
    lines = stage(".jsonl").read_text().splitlines()
    assert len(lines) == 4
    assert lines[1] == (
        '{"row":1,"allele":2,"source_chrom":"chr1","source_pos":7,"source_ref":"A","source_alt":"*",'
        '"chrom":null,"pos":null,"ref":null,"alt":null,"locus":null,"edit_class":null,"status":"skipped",'
        '"reason":"spanning_deletion","flags":null,"marginal_llr":null,"delta_ll":null,"displacement":null,'
        '"sigma_raw":null,"head":null,"gene":null,"consequence":null,"sigma_calibrated":null,"bucket_id":null,'
        '"confidence":null,"low_confidence":null,"ensemble":null}'
    )
    first = json.loads(lines[0])
    assert list(first) == list(SCHEMA)
    assert '"displacement":0.1,' in lines[0]
    assert first["delta_ll"] == -1e-7


def test_tsv_is_pinned(stage):
    lines = stage(".tsv").read_text().split("\n")
    assert lines[0] == "\t".join(SCHEMA)
    assert (
        lines[1]
        == "1\t1\tchr1\t7\tA\tC\t\t\t\t\t\tsubstitution\tscored\t\t\t\t-1e-7\t0.1\t0.1\tdisplacement"
        + "\t" * 7
    )
    assert lines[5:] == [""]


def test_vcf_is_pinned(stage):
    output = stage(".vcf.gz")
    lines = gzip.decompress(output.read_bytes()).decode().split("\n")
    source = SOURCE.split("\n")
    ours = [line for line in lines if line.startswith(("##INFO=<ID=GLWM_", "##genolewm="))]
    assert lines[: len(source) - 5] == source[: len(source) - 5]
    assert [line for line in lines if line not in ours][4] == source[4]
    assert ours[0] == (
        '##INFO=<ID=GLWM_locus,Number=A,Type=Integer,Description="First base at which the sequences differ, 1-based">'
    )
    assert ours[-1] == '##genolewm={"schema": "1.0.0"}'
    assert lines[-4:] == [
        (
            "chr1\t7\trs1\tA\tC,*\t50\tPASS\tDP=3;GLWM_edit_class=substitution,.;GLWM_status=scored,skipped;"
            "GLWM_reason=.,spanning_deletion;GLWM_delta_ll=-1e-7,.;GLWM_displacement=0.1,.;GLWM_sigma_raw=0.1,.;"
            "GLWM_head=displacement,.\tGT\t0/1"
        ),
        "chr1\t9\t.\tG\t.\t.\t.\tGLWM_status=skipped;GLWM_reason=no_alternate\tGT\t0/0",
        (
            "chr1\t9\t.\tG\tT\t1e3\tq10\tGLWM_edit_class=substitution;GLWM_status=scored;"
            "GLWM_flags=n_in_span%2Cspan_truncated;GLWM_displacement=0.25;GLWM_sigma_raw=0.25;"
            "GLWM_head=displacement\tGT\t./."
        ),
        "",
    ]


@pytest.mark.parametrize(
    "source",
    [
        SOURCE.replace("\n", "\r\n"),
        "\ufeff" + SOURCE,
        SOURCE.replace("chr1\t9\t.\tG\t.", "\n\nchr1\t9\t.\tG\t."),
        SOURCE.rstrip("\n"),
        gzip.compress(SOURCE.encode()),
        SOURCE.replace("DP=3", "DP=3;"),
    ],
    ids=["crlf", "bom", "blank lines", "no last line end", "gzip", "empty field"],
)
def test_spellings_of_the_same_file_give_the_same_bytes(stage, source):
    plain = stage(".vcf.gz").read_bytes()
    assert stage(".vcf.gz", source=source).read_bytes() == plain


def test_scores_of_an_earlier_run_are_replaced(stage):
    once = stage(".vcf.gz").read_bytes()
    assert stage(".vcf.gz", source=gzip.decompress(once)).read_bytes() == once


def test_bytes_that_are_no_text_are_kept(stage):
    source = SOURCE.encode().replace(b"one two", b"M\xfcller").replace(b"rs1", b"\xff")
    lines = gzip.decompress(stage(".vcf.gz", source=source).read_bytes())
    assert b"M\xfcller\n" in lines
    assert b"chr1\t7\t\xff\tA" in lines


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("chr1\t9\t.\tG\tT", "chr1\t8\t.\tG\tT"),
        ("C,*", "C"),
        ("chr1\t9\t.\tG\tT\t1e3\tq10\t.\tGT\t./.\n", ""),
    ],
)
def test_an_input_that_changed_is_not_annotated(stage, tmp_path, old, new):
    with pytest.raises(InputError) as caught:
        stage(".vcf.gz", source=SOURCE.replace(old, new))
    assert caught.value.code == "vcf-unreadable"
    assert not (tmp_path / "scores.vcf.gz").exists()


@pytest.mark.parametrize(("end", "kind"), [(1 << 29, ".csi"), ((1 << 29) - 1, ".tbi")])
def test_the_index_can_address_the_last_base(stage, end, kind):
    source = SOURCE.replace("DP=3", f"DP=3;END={end}")
    output = stage(".vcf.gz", source=source)
    assert output.with_name(output.name + kind).exists()
    assert len(list(output.parent.glob("scores.vcf.gz.*"))) == 1
    with pysam.TabixFile(str(output), index=str(output.with_name(output.name + kind))) as file:
        assert [line.split("\t")[1] for line in file.fetch("chr1", 8, 9)] == ["7", "9", "9"]


@pytest.mark.parametrize("ending", [".parquet", ".tsv", ".jsonl", ".vcf.gz"])
def test_a_lost_row_is_noticed(stage, ending):
    with pytest.raises(InternalError) as caught:
        stage(ending, n_rows=5)
    assert caught.value.code == "rows-lost"


@pytest.mark.parametrize("name", ["s.xlsx", "s", "s.gz", "s.vcf", "vcf.gz"])
def test_endings_that_name_no_format(tmp_path, name):
    with pytest.raises(ConfigError) as caught:
        format_of(tmp_path / name)
    assert caught.value.code == "output-format"
    assert caught.value.expected.count("a name ending in") == 4


@settings(max_examples=40, deadline=None)
@given(data=st.binary(max_size=200_000), cut=st.integers(0, 200_000))
def test_bgzf_is_what_was_written(tmp_path_factory, data, cut):
    path = tmp_path_factory.mktemp("bgzf") / "x.gz"
    with path.open("wb") as file:
        out = BgzfWriter(file)
        out.write(data[:cut])
        out.write(data[cut:])
        out.finish()
    packed = path.read_bytes()
    with pysam.BGZFile(str(path)) as file:
        assert file.read() == data
    assert gzip.decompress(packed) == data
    blocks = 0
    while packed:
        size = struct.unpack_from("<H", packed, 16)[0] + 1
        assert len(zlib.decompress(packed[18 : size - 8], -15)) <= 1 << 16
        packed = packed[size:]
        blocks += 1
    assert blocks == -(-len(data) // 0xFF00) + 1


VALUES = {
    "edit_class": st.sampled_from([None, "substitution"]),
    "gene": st.sampled_from([None, "HLA-A", "a;b", "x=1,2", "100%", "two words", "."]),
    "bucket_id": st.sampled_from([None, "substitution|3|*|*|*"]),
    "confidence": st.none() | st.floats(0, 1, width=32),
    "low_confidence": st.sampled_from([None, True, False]),
    "displacement": st.none()
    | st.floats(width=32, allow_nan=False, allow_infinity=False, allow_subnormal=False),
}


@settings(max_examples=40, deadline=None)
@given(
    records=st.lists(st.lists(st.fixed_dictionaries(VALUES), min_size=1, max_size=3), min_size=1, max_size=6)
)
def test_every_value_is_read_back_from_info(tmp_path_factory, records):
    folder = tmp_path_factory.mktemp("info")
    head = SOURCE.split("chr1\t7")[0].replace("\tFORMAT\tone two", "")
    lines, tables = [], []
    for number, alleles in enumerate(records, 1):
        lines.append(
            f"chr1\t{number}\t.\tA\t{','.join('C' * n for n in range(1, len(alleles) + 1))}\t.\t.\t.\n"
        )
        rows = [scored(number, n, number, "A", "C" * n) for n in range(1, len(alleles) + 1)]
        tables.append(
            table_of(rows).with_columns(
                pl.Series(name, [allele[name] for allele in alleles], SCHEMA[name]) for name in VALUES
            )
        )
    (folder / "v.vcf").write_text(head + "".join(lines))
    pl.concat(tables).write_parquet(folder / "0.parquet")
    shards = FinishedShards([folder / "0.parquet"], folder / "v.vcf", ABOUT)
    (file, _), _ = stage_table(shards, folder / "o.vcf.gz", folder, sum(map(len, records)))
    assert_info_holds(file, pl.concat(tables))


def assert_info_holds(path, table):
    """The INFO fields of an annotated VCF, decoded, are the table's values."""
    names = {"%3B": ";", "%3D": "=", "%2C": ",", "%20": " ", "%2E": ".", "%25": "%"}
    lines = [
        line for line in gzip.decompress(path.read_bytes()).decode().split("\n") if line and line[0] != "#"
    ]
    parts = table.partition_by("row", maintain_order=True)
    assert len(lines) == len(parts)
    for line, part in zip(lines, parts, strict=True):
        fields = dict(field.split("=", 1) for field in line.split("\t")[7].split(";") if "=" in field)
        for name in SCHEMA:
            if name in ("row", "allele", "source_chrom", "source_pos", "source_ref", "source_alt"):
                continue
            if name in ("chrom", "pos", "ref", "alt"):
                continue
            found = [None if v == "." else v for v in fields.get(f"GLWM_{name}", ".").split(",")]
            if len(found) < len(part):
                assert found == [None]
                found *= len(part)
            for old, new in names.items():
                found = [None if v is None else v.replace(old, new) for v in found]
            if SCHEMA[name] == pl.Boolean:
                found = [None if v is None else v == "1" for v in found]
            column = (
                pl.Series(found).cast(SCHEMA[name])
                if SCHEMA[name] != pl.Float32
                else pl.Series([None if v is None else float(v) for v in found], dtype=pl.Float32)
            )
            assert column.to_list() == part[name].to_list(), name


@pytest.fixture(scope="module")
def shards_of_world(world, tmp_path_factory):
    """The world's shards, scored once."""
    from genolewm_core.artifacts.manifest import ModelDirectory
    from genolewm_runtime.runtime import options_of
    from genolewm_runtime.scoring import Shard
    from genolewm_runtime.shards import ScorerSpec, ShardScorer

    folder = tmp_path_factory.mktemp("shards")
    options = options_of(ModelDirectory.open(world.model).manifest.contract)
    vcf = folder / "sorted.vcf"
    text = world.vcf.read_text()
    vcf.write_text(text)
    spec = ScorerSpec(
        model=world.model,
        reference=world.reference,
        annotation=None,
        calibration=None,
        backend="onnx",
        options=options,
        threads=1,
        guard_level="none",
    )
    rows = list(read_rows(vcf, Reference(world.reference)))
    scorer = ShardScorer(spec)
    cut = next(i for i, row in enumerate(rows) if i > 30 and row.allele == 1)
    scorer.score(Shard(0, rows[:cut]), folder / "0.parquet")
    scorer.score(Shard(1, rows[cut:]), folder / "1.parquet")
    return FinishedShards([folder / "0.parquet", folder / "1.parquet"], vcf, ABOUT), len(rows)


def test_formats_hold_the_same_rows(shards_of_world, tmp_path):
    shards, n_rows = shards_of_world
    for ending in (".parquet", ".tsv", ".jsonl", ".vcf.gz"):
        for file, name in stage_table(shards, tmp_path / f"s{ending}", tmp_path, n_rows):
            file.replace(name)
    table = pl.read_parquet(tmp_path / "s.parquet")
    assert table.schema == pl.Schema(SCHEMA)
    assert len(table.filter(pl.col("status") == "scored")) > 50
    assert pl.read_ndjson(tmp_path / "s.jsonl", schema=SCHEMA).equals(table)
    lines = (tmp_path / "s.jsonl").read_text().splitlines()
    assert [list(json.loads(line)) for line in lines] == [list(SCHEMA)] * n_rows
    assert pl.read_csv(tmp_path / "s.tsv", separator="\t", schema=pl.Schema(SCHEMA)).equals(table)
    assert_info_holds(tmp_path / "s.vcf.gz", table)


def test_bcftools_reads_the_annotated_vcf(shards_of_world, tmp_path, bcftools):
    shards, n_rows = shards_of_world
    output = tmp_path / "s.vcf.gz"
    for file, name in stage_table(shards, output, tmp_path, n_rows):
        file.replace(name)

    def view(*arguments):
        answer = subprocess.run([bcftools, *map(str, arguments)], capture_output=True, text=True, check=False)
        assert answer.returncode == 0, answer.stderr
        assert answer.stderr == "" or "Lines   total" in answer.stderr, answer.stderr
        return answer.stdout.splitlines()

    columns = "%CHROM\t%POS\t%ID\t%REF\t%ALT\t%QUAL\t%FILTER\n"
    assert view("query", "-f", columns, output) == view("query", "-f", columns, shards.vcf)
    assert len(view("index", "-s", output)) == 2
    near = view("view", "-H", "-r", "chr1:690-710", output)
    assert [line.split("\t")[1] for line in near] == ["700"]
    table = pl.read_parquet(shards.paths)
    # Fields of one value per allele follow their alleles when records are split.
    alleles = view(
        "query",
        "-f",
        "%POS\t%ALT\t%GLWM_status\t%GLWM_displacement\n",
        view_split(bcftools, output, tmp_path),
    )
    expected = [
        (str(r["source_pos"]), r["source_alt"], r["status"], r["displacement"])
        for r in table.iter_rows(named=True)
    ]
    found = [
        (pos, alt, status, None if value == "." else pytest.approx(float(value), rel=1e-5))
        for pos, alt, status, value in (line.split("\t") for line in alleles)
    ]
    assert found == expected


def view_split(bcftools, output, folder):
    target = folder / "split.vcf"
    subprocess.run(
        [bcftools, "norm", "-m", "-any", "-o", target, output], capture_output=True, text=True, check=True
    )
    return target
