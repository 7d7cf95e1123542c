"""A cohort is its VCFs, each scored by itself: names, accounts, resuming, consent."""

import json
import multiprocessing
import os
import shutil
import signal
import sys

import pytest

from genolewm_core.errors import ConfigError, ExitCode, InputError
from genolewm_core.jobs import Here, Processes
from genolewm_core.scoring.cells import Geometry
from genolewm_core.scoring.passes import PassOptions
from genolewm_runtime.cohort.consent import ask_consent
from genolewm_runtime.cohort.run import ACCOUNT, Cohort, exit_code_of, score_vcfs
from genolewm_runtime.cohort.samples import Sample, samples_of
from genolewm_runtime.receipt import ClusterConsent, receipt_path
from genolewm_runtime.run import VcfRun, run_vcf

OPTIONS = PassOptions(Geometry(6_144, 1_200), radius_tok=3, ll_tok=4)


# Names


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["a.vcf", "b.vcf.gz", "c.VCF.BGZ"], ["a", "b", "c"]),
        (["a.b.vcf"], ["a.b"]),
        (["calls"], ["calls"]),
        (["folder"], ["n1", "n2"]),
        (["z.vcf", "folder"], ["z", "n1", "n2"]),
    ],
)
def test_outputs_are_named_after_the_vcfs(paths, names, tmp_path):
    (tmp_path / "folder").mkdir()
    for name in ("n2.vcf.gz", "n1.vcf", "notes.txt", "n1.vcf.tbi", ".hidden.vcf"):
        (tmp_path / "folder" / name).touch()
    assert [sample.name for sample in samples_of([tmp_path / path for path in paths], None)] == names


def test_a_list_names_samples_and_its_paths_count_from_its_folder(tmp_path):
    path = tmp_path / "list.tsv"
    path.write_text("# name\tpath\n\nfather\tf/x.vcf\r\nmother\t/data/x.vcf\n")
    assert samples_of([], path) == (
        Sample("father", tmp_path / "f/x.vcf"),
        Sample("mother", tmp_path.__class__("/data/x.vcf")),
    )


@pytest.mark.parametrize(
    ("paths", "listed", "kind"),
    [
        ([], None, ConfigError),
        ([], "# nothing\n", ConfigError),
        (["empty"], None, ConfigError),
        (["a.vcf", "b/a.vcf.gz"], None, ConfigError),
        (["a.vcf", "A.vcf"], None, ConfigError),
        (["a.vcf"], "a\tother.vcf\n", ConfigError),
        ([".vcf"], None, ConfigError),
        (["-rf.vcf"], None, ConfigError),
        (["a b.vcf"], None, ConfigError),
        ([], "../a\tx.vcf\n", ConfigError),
        ([], "a x.vcf\n", ConfigError),
        ([], "a\tx.vcf\tmore\n", ConfigError),
        ([], "a\t\n", ConfigError),
        ([], b"\xff\xfe", InputError),
        ([], ..., InputError),
    ],
)
def test_names_that_cannot_be_used_are_refused(paths, listed, kind, tmp_path):
    (tmp_path / "empty").mkdir()
    path = None if listed is None else tmp_path / "list.tsv"
    if isinstance(listed, str | bytes):
        path.write_bytes(listed if isinstance(listed, bytes) else listed.encode())
    with pytest.raises(kind):
        samples_of([tmp_path / name for name in paths], path)


# Scoring


@pytest.fixture
def cohort(world, tmp_path):
    """Call it with changed fields: three VCFs of the test world, and one that is none."""
    inputs, folder = tmp_path / "in", tmp_path / "out"
    inputs.mkdir()
    folder.mkdir()
    head, records = [], []
    for line in world.vcf.read_text().splitlines(keepends=True):
        (head if line.startswith("#") else records).append(line)
    good = [
        line for line in records if line.split("\t")[1] not in ("3000", "5200") and line.startswith("chr1\t")
    ]
    for number, part in enumerate((good[:20], good[20:40], good[40:])):
        (inputs / f"s{number}.vcf").write_text("".join(head + part))
    (inputs / "bad.vcf").write_text("nonsense\n")
    samples = samples_of([inputs], None)

    def make(**changes):
        usual = {"samples": samples, "reference": world.reference, "model": world.model, "options": OPTIONS}
        return Cohort(**{**usual, "folder": folder, "ending": "tsv", **changes})

    return make


def only_good(samples):
    return tuple(sample for sample in samples if sample.name != "bad")


def tables(folder):
    return {path.name: path.read_bytes() for path in folder.glob("s*.tsv")}


@pytest.mark.parametrize("place", [Here(), Processes(2)])
def test_one_bad_vcf_is_reported_and_the_others_are_scored_as_alone(place, cohort, tmp_path):
    given = cohort(place=place)
    seen = []
    accounts = score_vcfs(given, on_vcf=seen.append)
    assert sorted(account.name for account in seen) == ["bad", "s0", "s1", "s2"]
    assert [(a.name, a.status, a.code) for a in accounts] == [
        ("bad", "failed", "vcf-unreadable"),
        *((f"s{n}", "scored", None) for n in range(3)),
    ]
    assert exit_code_of(accounts, allow_failed=True) == ExitCode.INPUT
    for sample in only_good(given.samples):
        alone = tmp_path / f"{sample.name}.tsv"
        summary = run_vcf(VcfRun(sample.vcf, given.reference, alone, given.model, OPTIONS))
        output = given.folder / alone.name
        assert output.read_bytes() == alone.read_bytes()
        receipts = [json.loads(receipt_path(path).read_text()) for path in (output, alone)]
        for receipt in receipts:
            del receipt["timestamp"]
        assert receipts[0] == receipts[1]
        assert receipts[0]["cluster"] is None
        assert summary.rows("scored") > 10
    about = json.loads((given.folder / ACCOUNT).read_text())
    assert about["vcfs"] == {"scored": 3, "kept": 0, "failed": 1, "unfinished": 0}
    assert about["rows"]["scored"] == sum(account.rows["scored"] for account in accounts[1:])
    assert [entry["code"] for entry in about["samples"]] == ["vcf-unreadable", None, None, None]


def test_finished_vcfs_are_kept_and_others_go_on(cohort):
    given = cohort()
    score_vcfs(given)
    before = {path.name: path.stat().st_mtime_ns for path in given.folder.glob("s*")}
    receipt_path(given.folder / "s1.tsv").unlink()
    (given.folder / "s1.tsv").unlink()
    plan = []
    accounts = score_vcfs(cohort(), on_plan=plan.extend)
    assert [a.status for a in plan] == ["unfinished", "kept", "unfinished", "kept"]
    assert [a.status for a in accounts] == ["failed", "kept", "scored", "kept"]
    after = {path.name: path.stat().st_mtime_ns for path in given.folder.glob("s*")}
    assert {name for name in after if after[name] != before[name]} == {"s1.tsv", "s1.tsv.receipt.json"}
    about = json.loads((given.folder / ACCOUNT).read_text())
    assert about["rows"]["scored"] == sum(account.rows["scored"] for account in accounts if account.rows)


@pytest.mark.parametrize("change", ["vcf", "options", "reference", "receipt", "output"])
def test_what_was_scored_otherwise_is_not_taken_for_finished(change, cohort, tmp_path):
    given = cohort(samples=cohort().samples[1:2])
    score_vcfs(given)
    table = tables(given.folder)
    again = given
    if change == "vcf":
        path = given.samples[0].vcf
        path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    elif change == "options":
        again = cohort(
            samples=given.samples, options=PassOptions(Geometry(6_144, 1_200), radius_tok=2, ll_tok=4)
        )
    elif change == "reference":
        copy = tmp_path / "copy.fa"
        shutil.copy(given.reference, copy)
        again = cohort(samples=given.samples, reference=copy)
    elif change == "receipt":
        receipt_path(given.folder / "s0.tsv").unlink()
    else:
        (given.folder / "s0.tsv").unlink()
    (account,) = score_vcfs(again)
    if change == "output":
        assert account.status == "scored"
        assert tables(given.folder) == table
        return
    assert (account.status, account.code, account.exit_code) == ("failed", "output-exists", ExitCode.CONFIG)
    assert tables(given.folder) == table
    (account,) = score_vcfs(again)
    assert account.code == "output-exists"  # asking twice changes nothing
    (account,) = score_vcfs(
        cohort(samples=given.samples, reference=again.reference, options=again.options, fresh=True)
    )
    assert account.status == "scored"
    assert [account.status for account in score_vcfs(again)] == ["kept"]


def test_an_output_that_was_replaced_is_not_taken_for_the_old_runs(cohort):
    """A new table beside an old note would count as finished by the old options."""
    one = cohort().samples[1:2]
    other = PassOptions(Geometry(6_144, 1_200), radius_tok=2, ll_tok=4)
    score_vcfs(cohort(samples=one))
    folder = cohort().folder
    old = (folder / ".cohort" / "s0.tsv.json").read_bytes()
    score_vcfs(cohort(samples=one, options=other, fresh=True))
    assert (folder / ".cohort" / "s0.tsv.json").read_bytes() != old
    assert [account.code for account in score_vcfs(cohort(samples=one))] == ["output-exists"]
    assert [account.status for account in score_vcfs(cohort(samples=one, options=other))] == ["kept"]


def test_a_killed_worker_costs_no_vcf(cohort, world, tmp_path):
    plain = cohort(samples=only_good(cohort().samples))
    score_vcfs(plain)
    expected = tables(plain.folder)
    folder = tmp_path / "killed"
    folder.mkdir()
    killed = []

    def kill_one(_):
        if not killed:
            killed.append(multiprocessing.active_children()[0].pid)
            os.kill(killed[0], signal.SIGKILL)

    accounts = score_vcfs(cohort(samples=plain.samples, folder=folder, place=Processes(2)), on_vcf=kill_one)
    assert killed
    assert [account.status for account in accounts] == ["scored"] * 3
    assert tables(folder) == expected


def test_a_cohort_that_is_cut_off_says_how_far_it_came(cohort):
    given = cohort(samples=only_good(cohort().samples))

    def interrupt(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        score_vcfs(given, on_vcf=interrupt)
    about = json.loads((given.folder / ACCOUNT).read_text())
    assert about["vcfs"] == {"scored": 1, "kept": 0, "failed": 0, "unfinished": 2}
    assert [account.status for account in score_vcfs(given)] == ["kept", "scored", "scored"]


def test_an_input_is_never_an_output(cohort, tmp_path):
    given = cohort(folder=tmp_path / "in", ending="vcf.gz", fresh=True)
    precious = tmp_path / "in" / "s0.vcf.gz"
    precious.write_bytes(b"precious")
    with pytest.raises(ConfigError, match="config-invalid"):
        score_vcfs(
            Cohort(
                samples=samples_of([precious], None),
                **{
                    name: getattr(given, name)
                    for name in ("reference", "model", "options", "folder", "ending", "fresh")
                },
            )
        )
    assert precious.read_bytes() == b"precious"


def test_what_would_stop_every_vcf_is_said_once(cohort, tmp_path):
    with pytest.raises(InputError, match="reference-unreadable"):
        score_vcfs(cohort(reference=tmp_path / "none.fa"))
    assert not (tmp_path / "out" / ACCOUNT).exists()


def test_failed_rows_decide_the_exit_code_unless_allowed(cohort, world):
    accounts = score_vcfs(cohort(samples=samples_of([world.vcf], None)))
    assert accounts[0].rows["failed"] > 0
    assert exit_code_of(accounts, allow_failed=False) == ExitCode.INPUT
    assert exit_code_of(accounts, allow_failed=True) == ExitCode.OK


# Consent


def at_terminal(monkeypatch, typed):
    ours, theirs = os.openpty()
    os.write(ours, typed.encode())
    monkeypatch.setattr(sys, "stdin", os.fdopen(theirs))
    return ours


@pytest.mark.parametrize(
    ("typed", "agreed"), [("I consent\n", True), ("i consent\n", True), ("y\n", False), ("\n", False)]
)
def test_consent_is_typed_in_full(typed, agreed, monkeypatch, capsys):
    terminal = at_terminal(monkeypatch, typed)
    try:
        if agreed:
            assert ask_consent("ray://head:10001", by_option=False) == ClusterConsent("typed", local=False)
        else:
            with pytest.raises(ConfigError, match="config-invalid"):
                ask_consent("local", by_option=False)
        assert "the network stays open" in capsys.readouterr().err
    finally:
        sys.stdin.close()
        os.close(terminal)


def test_without_a_terminal_only_the_option_is_consent(monkeypatch):
    with open(os.devnull) as nothing:
        monkeypatch.setattr(sys, "stdin", nothing)
        with pytest.raises(ConfigError, match="--consent-cluster"):
            ask_consent("local", by_option=False)
    assert ask_consent("local", by_option=True) == ClusterConsent("option", local=True)


def test_a_receipt_says_what_was_consented_to(cohort):
    consent = ClusterConsent("option", local=True)
    given = cohort(samples=cohort().samples[1:2], cluster=consent)
    score_vcfs(given)
    receipt = json.loads(receipt_path(given.folder / "s0.tsv").read_text())
    assert receipt["cluster"] == {"consent": True, "given": "option", "local": True}
    assert receipt["guard"] == "none"
