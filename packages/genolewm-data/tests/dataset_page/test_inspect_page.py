"""The page itself: whole, alike every time, and safe to open."""

import re
from html.parser import HTMLParser

import pytest
from click.testing import CliRunner

from genolewm_core.errors import ConfigError
from genolewm_data.inspect.checks import checks_of
from genolewm_data.inspect.command import inspect
from genolewm_data.inspect.page import page_path, write_page

HOSTILE = "</style><script>alert(1)</script><img src=x>\u202e"
PARTS = ("checks", "what", "windows", "places", "mix", "edits", "tables", "left-out", "integrity")
VOID = {"meta", "br"}


class Outline(HTMLParser):
    """Ids, addresses, and whether every element ends where it should."""

    def __init__(self, page):
        super().__init__()
        self.ids, self.addresses, self.tags, self.open = set(), [], set(), []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        held = dict(attrs)
        self.ids.add(held.get("id"))
        self.addresses += [value for name, value in attrs if name in ("src", "href", "action", "xlink:href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.add(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture
def page(make, annotation):
    path, _ = write_page(make(), annotation=annotation)
    return path.read_text(encoding="utf-8")


def test_every_part_is_there_and_nothing_is_from_outside(page):
    outline = Outline(page)
    assert outline.open == []
    assert set(PARTS) <= outline.ids
    assert set(outline.addresses) == {"#" + part for part in PARTS}
    assert not {"script", "img", "link", "iframe", "object", "use"} & outline.tags
    assert "default-src 'none'" in page
    assert not re.search(r"https?:|@import|url\(| style=", page)


def test_numbers_are_in_tables_behind_every_picture(page):
    charts = page.count('<figure class="chart') + page.count('<figure class="lanes">')
    assert charts >= 8
    assert page.count("<summary>Numbers of this") == charts
    pictures = re.findall(r'<svg[^>]* role="img"[^>]*>', page)
    assert len(pictures) >= charts
    assert all("aria-label=" in picture for picture in pictures)


def test_charts_of_few_say_so_but_for_those_of_the_whole_release(page):
    charts = page.split('<figure class="chart')[1:]
    few = [chart.startswith(" few") for chart in charts]
    assert few == ["too few to judge by" in chart for chart in charts]
    assert few == ["windows compared by sequence" not in chart.split("</strong>")[0] for chart in charts]


def test_the_notice_leads_to_the_expectations_that_are_not_met(make):
    path, found = write_page(make(windows={"train": {"placed": 9}, "validation": {"brca1": 1, "chr21": 2}}))
    page = path.read_text(encoding="utf-8")
    outline = Outline(page)
    titles = [check.title for check in checks_of(found)]
    missed = [i for i, check in enumerate(checks_of(found), 1) if not check.ok]
    assert missed
    links = re.findall(r'<a href="#expectation-(\d+)">(.*?)</a>', page)
    assert links == [(str(i), titles[i - 1]) for i in missed]
    assert {f"expectation-{i}" for i in range(1, len(titles) + 1)} <= outline.ids


def test_the_same_release_gives_the_same_page(make, annotation, tmp_path):
    pages = [
        write_page(make(name), tmp_path / f"{name}.html", annotation=annotation)[0].read_bytes()
        for name in ("one", "two")
    ]
    assert pages[0] == pages[1]


def test_text_of_files_stays_text(make):
    folder = make(name="hostile")
    plain, _ = write_page(folder, folder.with_name("plain.html"))
    hostile = make(
        "other",
        version=HOSTILE,
        made_with={HOSTILE: HOSTILE},
        config={HOSTILE: HOSTILE},
        left_out={HOSTILE: {HOSTILE: 3}},
    )
    path, _ = write_page(hostile)
    page = path.read_text(encoding="utf-8")
    assert Outline(page).tags == Outline(plain.read_text(encoding="utf-8")).tags
    assert "&lt;script&gt;alert(1)" in page
    assert "\u202e" not in page


def test_windows_without_any_table_or_place(make):
    folder = make(
        starts=(),
        options={"seed": 1, "mix": {"synthetic_snv": 1, "synthetic_mnv": 1}},
        windows={"train": {"gtdb": 2}, "validation": {"brca1": 1, "chr21": 2}},
        left_out={},
        sources=(),
    )
    path, found = write_page(folder, n_windows=1)
    page = path.read_text(encoding="utf-8")
    assert found.edits.n_windows == 1
    assert "1 of the 2 windows of training" in page
    assert "The manifest names no sources" in page


def test_the_command_names_the_page_and_what_to_look_at(make):
    folder = make(windows={"train": {"placed": 9}, "validation": {"brca1": 1, "chr21": 2}})
    answer = CliRunner().invoke(inspect, [str(folder), "--windows", "0"])
    assert answer.exit_code == 0, answer.output
    assert f"expectations are met: {page_path(folder)}" in answer.stdout
    assert answer.stderr.startswith("look: The files hold the windows that the manifest counts?")
    assert page_path(folder).is_file()
    assert list(folder.glob("*.html")) == []


@pytest.mark.parametrize(
    ("output", "code"), [("release.html", "output-exists"), ("page.txt", "output-format")]
)
def test_an_output_that_cannot_be_written_is_told_first(make, tmp_path, output, code):
    (tmp_path / "release.html").write_text("mine")
    with pytest.raises(ConfigError) as error:
        write_page(make(), tmp_path / output)
    assert error.value.code == code
    assert (tmp_path / "release.html").read_text() == "mine"
