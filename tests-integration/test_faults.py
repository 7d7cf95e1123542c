"""A full disk, an input/output error, a read-only disk or too many open files, at any file operation of a run."""

import errno
import os
import random
import shutil

import pytest

EVERY = os.environ.get("GENOLEWM_FAULTS") == "all"  # `nox -s faults` asks for every operation
SAMPLES = 3

KINDS = [
    ("ENOSPC", True, "parquet"),
    ("ENOSPC", False, "vcf.gz"),
    ("EIO", False, "parquet"),
    ("EIO", True, "vcf.gz"),
    ("EROFS", True, "jsonl"),
    ("EMFILE", True, "parquet"),
    ("EMFILE", False, "vcf.gz"),
    *([("EIO", False, ending) for ending in ("tsv", "jsonl", "vcf.gz")] if EVERY else []),
]


def places(total, rng):
    """Numbers of the operations that are made to fail: all, or a few that include the first and the last."""
    if EVERY:
        return range(1, total + 1)
    return sorted({1, total, *rng.sample(range(2, total), SAMPLES)})


@pytest.mark.slow
@pytest.mark.timeout(7_200)
@pytest.mark.parametrize(("error", "lasting", "ending"), KINDS)
def test_a_fault_is_told_and_made_good(faulty_server, small_world, tmp_path, error, lasting, ending):
    def run(folder, n=None):
        fault = {"folder": str(folder), "n": n or 1 << 30, "error": getattr(errno, error), "lasting": lasting}
        return faulty_server.run(small_world.argv(folder / f"s.{ending}"), cells=4, fault=fault)

    clean = tmp_path / "clean"
    clean.mkdir()
    answer = run(clean)
    assert answer["code"] == 0, answer["stderr"]
    whole = faulty_server.published(clean)
    assert answer["count"] > 20, "the operations were not seen"
    told = 0
    for n in places(answer["count"], random.Random(f"{error} {ending}")):
        folder = tmp_path / str(n)
        folder.mkdir()
        answer = run(folder, n)
        place = f"{error} at operation {n}, {answer['stderr']}"
        assert answer["count"] >= n, place
        assert "Traceback" not in answer["stderr"], place
        visible = sorted(path.name for path in folder.iterdir() if path.name[0] != ".")
        if answer["code"] == 0:
            # It hit what a run can do without, such as reading how far an earlier one came.
            assert visible == sorted(whole), place
        else:
            told += 1
            assert answer["code"] == 4, place
            assert "[output-unwritable]" in answer["stderr"], place
            assert f"where: {folder}" in answer["stderr"], place
            # polars does not always pass on which error it was; those are told as the general one.
            texts = {os.strerror(code) for code in (getattr(errno, error), errno.EIO)}
            assert any(f"found: {text}" in answer["stderr"] for text in texts), place
            # Final names appear in one order, the receipt last, and only over finished files.
            order = [
                f"s.{ending}",
                *(name for name in whole if name.endswith(".tbi")),
                f"s.{ending}.receipt.json",
            ]
            assert visible == sorted(order[: len(visible)]), place
            assert all(
                (folder / name).read_bytes() == whole[name] for name in visible if name in order[:-1]
            ), place
            again = run(folder)
            assert again["code"] == 0, f"{place}\n{again['stderr']}"
        hidden = list(folder.glob(".*"))
        assert not hidden or answer["code"] == 0, place
        assert all(path.is_dir() and not list(path.iterdir()) for path in hidden), place
        for path in hidden:
            path.rmdir()
        assert faulty_server.published(folder) == whole, place
        shutil.rmtree(folder)
    assert told >= 3
