"""The report as a user gets it: the command in a process of its own, and the page in a browser."""

import json
import re
import shutil
import subprocess
import sys
from html import escape, unescape
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from genolewm_runtime.display import BANNER
from genolewm_runtime.receipt import receipt_path
from genolewm_runtime.report.reading import COLUMNS, LATER_COLUMNS

COMMAND = Path(sys.executable).with_name("geno-lewm")
N = 400
HOSTILE = "</script><img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """A page about 400 scored rows on three contigs, with every column; one gene has a hostile name."""
    scores = tmp_path_factory.mktemp("report") / "scores.parquet"
    rng = np.random.default_rng(11)
    numbers = np.arange(N)
    frame = pl.DataFrame(
        {
            "row": numbers + 1,
            "allele": 1,
            "chrom": [f"chr{1 + i * 3 // N}" for i in range(N)],
            "pos": np.sort(rng.choice(240_000_000, N, replace=False)),
            "ref": "A",
            "alt": "G",
            "edit_class": "substitution",
            "status": "scored",
            "displacement": rng.random(N),
            "head": "displacement",
            "gene": [HOSTILE if i == 7 else f"GENE{i % 9}" for i in range(N)],
            "consequence": ["missense" if i % 5 else "splice_site" for i in range(N)],
            "sigma_calibrated": rng.permutation(N) / N,
            "bucket_id": "substitution|2|*|*|*",
            "confidence": 1.0,
            "low_confidence": False,
            "ensemble": rng.random(N),
        }
    ).with_columns(
        locus="pos",
        sigma_raw="displacement",
        **{f"source_{name}": pl.col(name) for name in ("chrom", "pos", "ref", "alt")},
    )
    missing = [name for name in (*COLUMNS, *LATER_COLUMNS) if name not in frame.columns]
    frame.with_columns(pl.lit(None).alias(name) for name in missing).write_parquet(scores)
    receipt_path(scores).write_text(
        json.dumps({"demonstration": False, "model_name": "m", "guard": "seccomp", "rows": {"scored": N}})
    )
    answer = run("report", scores)
    assert answer.returncode == 0, answer.stderr
    assert BANNER in answer.stderr
    return scores.with_suffix(".html")


@pytest.fixture(scope="module")
def table(page):
    return pl.read_parquet(page.with_suffix(".parquet"))


def run(*arguments):
    return subprocess.run([COMMAND, *map(str, arguments)], capture_output=True, text=True, check=False)


def test_the_command_refuses_what_it_cannot_read(page, tmp_path):
    (tmp_path / "s.parquet").write_text("no table")
    answer = run("report", tmp_path / "s.parquet")
    assert answer.returncode == 2
    assert "[scores-unreadable]" in answer.stderr
    again = run("report", page.with_suffix(".parquet"))
    assert again.returncode == 3
    assert "[output-exists]" in again.stderr


def test_the_command_says_what_it_left_out(page, tmp_path):
    answer = run("report", page.with_suffix(".parquet"), "--output", tmp_path / "few.html", "--rows", 10)
    assert answer.returncode == 0, answer.stderr
    assert "390 scored rows are not in the page's table" in answer.stderr


def test_the_network_is_closed_while_the_table_is_read(page, tmp_path):
    code = (
        "import socket, sys\n"
        "from genolewm_runtime.report.command import report\n"
        "heavy = {'numpy', 'polars', 'jinja2'} & set(sys.modules)\n"
        "report.main(sys.argv[1:], standalone_mode=False)\n"
        "try:\n    socket.socket()\n    refused = False\nexcept Exception:\n    refused = True\n"
        "print(heavy, refused)"
    )
    arguments = [page.with_suffix(".parquet"), "--output", tmp_path / "p.html"]
    answer = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, check=False
    )
    assert answer.stdout.strip() == "set() True", answer.stderr


# In a browser


@pytest.fixture(scope="module")
def browse(tmp_path_factory):
    """Open an address in headless chromium; gives its document, console and the page's own requests."""
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("chromium is not on PATH")
    folder = tmp_path_factory.mktemp("browser")

    def visit(address, *flags, action="--dump-dom"):
        log = folder / "net.json"
        answer = subprocess.run(
            [
                program,
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu",
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
                "--host-resolver-rules=MAP * ~NOTFOUND",
                f"--user-data-dir={folder / 'profile'}",
                f"--log-net-log={log}",
                "--enable-logging=stderr",
                "--window-size=1280,900",
                "--virtual-time-budget=4000",
                *flags,
                action,
                address,
            ],
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
        assert answer.returncode == 0, answer.stderr
        console = [line for line in answer.stderr.splitlines() if ":CONSOLE" in line]
        return answer.stdout, console, requests_of(log)

    return visit


def requests_of(log):
    """Addresses that pages asked for; what the browser asks for by itself has no origin."""
    net = json.loads(log.read_text())
    start = net["constants"]["logEventTypes"]["URL_REQUEST_START_JOB"]
    parameters = [event.get("params", {}) for event in net["events"] if event["type"] == start]
    return [
        found["url"]
        for found in parameters
        if "url" in found and found.get("initiator", "not an origin") != "not an origin"
    ]


def places(document):
    """(contig, position) of the rows that the page's table shows."""
    body = document[document.index("<tbody>", document.index('id="table"')) :]
    body = body[: body.index("</tbody>")]
    return [
        (chrom, int(pos.replace(",", "")))
        for chrom, pos in re.findall(r"<tr[^>]*><td>([^:<]+):([\d,]+)</td>", body)
    ]


def expected(rows):
    return list(rows.select("chrom", "pos").head(50).iter_rows())


def test_the_page_fills_its_table_in_silence(page, table, browse):
    document, console, requests = browse(page.as_uri())
    assert console == []
    assert requests == []
    assert places(document) == expected(table.sort("sigma_calibrated", descending=True, maintain_order=True))
    assert "1 to 50 of 400 variants<" in document
    assert 'data-sort="percentile" class="number" aria-sort="descending"' in document
    assert "<img" not in document


def test_it_sorts_filters_and_turns_pages(page, table, browse):
    address = f"{page.as_uri()}#chrom=chr2&min=25&sort=position&dir=ascending"
    document, console, _ = browse(address)
    rows = table.filter((pl.col("chrom") == "chr2") & (pl.col("sigma_calibrated") >= 0.25)).sort("pos")
    assert 50 < len(rows) < 120
    assert console == []
    assert places(document) == expected(rows)
    assert f"1 to 50 of {len(rows)} variants (400 without filters)" in document
    document, _, _ = browse(f"{address}&page=2")
    assert places(document) == expected(rows[50:])


def test_gene_consequence_and_text_filter_together(page, table, browse):
    document, _, _ = browse(
        f"{page.as_uri()}#gene=gene3&consequence=splice_site&q=A%3EG&sort=position&dir=descending"
    )
    rows = table.filter((pl.col("gene") == "GENE3") & (pl.col("consequence") == "splice_site"))
    assert len(rows) > 0
    assert places(document) == expected(rows.sort("chrom", "pos", descending=True))


def test_one_variant_shows_everything(page, table, browse):
    document, console, requests = browse(f"{page.as_uri()}#variant=8.1")
    line = table.row(7, named=True)
    dialog = unescape(
        re.sub(r"<[^>]+>", " ", document[document.index("<dialog") : document.index("</dialog>")])
    )
    assert re.search(r"<dialog[^>]* open", document)
    assert (console, requests) == ([], [])
    for text in (HOSTILE, f"{line['chrom']}:{line['pos']}:A:G", "common substitutions", "offset 2", BANNER):
        assert text in dialog
    assert not re.search(r"<a [^>]*href=\"[^#]", document)


def test_without_scripts_the_charts_and_the_highest_rows_are_there(page, browse, tmp_path):
    # A frame whose sandbox allows no script is parsed and drawn as a browser does that has none.
    frame = tmp_path / "frame.html"
    frame.write_text(
        f'<iframe sandbox="allow-same-origin" srcdoc="{escape(page.read_text(encoding="utf-8"))}"></iframe>'
        "<script>onload = () => { const found = (what) => [...frames[0].document.querySelectorAll(what)]\n"
        "  .filter((node) => node.getClientRects().length).length;\n"
        "document.title = JSON.stringify("
        "['.bar', '.contig svg', 'noscript tbody tr', '#filters'].map(found)) }</script>",
        encoding="utf-8",
    )
    document, _, _ = browse(frame.as_uri())
    assert json.loads(re.search(r"<title>(.*?)</title>", document).group(1)) == [20, 3, 50, 0]


def probe(page, target, width, script):
    """The page without its policy, in a frame of some width, with a script of ours in it."""
    open_page = re.sub(
        r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page.read_text(encoding="utf-8")
    )
    inside = target / "inside.html"
    inside.write_text(open_page.replace("</body>", f"{script}</body>"), encoding="utf-8")
    frame = target / "frame.html"
    frame.write_text(
        f'<iframe src="inside.html" style="width:{width}px;height:800px;border:0"></iframe>'
        "<script>onmessage = (e) => { document.title = JSON.stringify(e.data); }</script>"
    )
    return frame


@pytest.mark.parametrize("width", [320, 400, 1280])
def test_nothing_reaches_over_the_edge(width, page, browse, tmp_path):
    script = (
        "<script>parent.postMessage([innerWidth, document.documentElement.scrollWidth,"
        " document.querySelectorAll('#table tbody tr').length], '*')</script>"
    )
    document, _, _ = browse(probe(page, tmp_path, width, script).as_uri())
    inner, wide, rows = json.loads(re.search(r"<title>(.*?)</title>", document).group(1))
    assert (inner, rows) == (width, 50)
    assert wide <= width


def test_the_policy_stops_what_the_tests_would_see(page, browse, tmp_path):
    # The negative control: without the policy the same picture is asked for, and the tests above see it.
    image = '<img src="http://127.0.0.1:9/probe">'
    closed = tmp_path / "closed.html"
    closed.write_text(
        page.read_text(encoding="utf-8").replace("</body>", f"{image}</body>"), encoding="utf-8"
    )
    _, console, requests = browse(closed.as_uri())
    assert requests == []
    assert any("Content Security Policy" in line for line in console)
    probe(page, tmp_path, 400, image)
    _, _, requests = browse((tmp_path / "inside.html").as_uri())
    assert requests == ["http://127.0.0.1:9/probe"]


def test_it_prints_with_the_banner(page, browse, tmp_path):
    target = tmp_path / "page.pdf"
    browse(page.as_uri(), "--no-pdf-header-footer", action=f"--print-to-pdf={target}")
    assert target.read_bytes().startswith(b"%PDF")
    reader = shutil.which("pdftotext")
    if reader is None:
        pytest.skip("pdftotext is not on PATH")
    text = subprocess.run([reader, "-layout", target, "-"], capture_output=True, text=True, check=True).stdout
    for sheet in text.rstrip("\f").split("\f"):
        assert BANNER in re.sub(r"\s+", " ", sheet)
