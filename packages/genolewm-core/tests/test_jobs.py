"""Tasks in this process, in processes and on Ray: one account of every task, whoever is killed."""

import multiprocessing
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from genolewm_core.errors import ConfigError, DeploymentError, InputError, ResourceError
from genolewm_core.jobs import Cluster, Here, Outcome, Processes, Task, UnexpectedError, run_tasks


@pytest.fixture
def works(monkeypatch):
    """The module of works, which workers find as well."""
    folder = str(Path(__file__).parent)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setenv("PYTHONPATH", folder)
    import jobs_work

    yield jobs_work
    sys.modules.pop("jobs_work")


def tasks_of(*numbers):
    return [Task(f"task {number}", number) for number in numbers]


def by_name(outcomes):
    found = list(outcomes)
    assert len({outcome.name for outcome in found}) == len(found)
    return {outcome.name: outcome for outcome in found}


@pytest.mark.parametrize("place", [None, Here(), Processes(1), Processes(2)])
def test_every_task_has_one_outcome_and_errors_stop_nothing(place, works, tmp_path):
    work = works.Squares(tmp_path)
    found = by_name(run_tasks(work, tasks_of(0, 6, 1, 7, 2), place))
    assert {name: outcome.result for name, outcome in found.items()} == {
        "task 0": 0,
        "task 1": 1,
        "task 2": 4,
        "task 6": None,
        "task 7": None,
    }
    assert isinstance(found["task 6"].error, UnexpectedError)
    assert found["task 6"].error.kind == "ValueError"
    assert any("in square" in place for place in found["task 6"].error.places)
    assert "1737913" not in str(found["task 6"].error)
    with pytest.raises(InputError) as caught:
        found["task 7"].value()
    assert (caught.value.code, caught.value.where) == ("vcf-unreadable", "a.vcf")
    assert work.starts() == (place.workers if isinstance(place, Processes) else 1)


def test_a_killed_workers_task_is_done_again_and_nothing_else_is(works, tmp_path):
    work = works.Squares(tmp_path)
    found = by_name(run_tasks(work, tasks_of(0, 1, 3, 4, 5, 2), Processes(2), attempts=2))
    assert found["task 3"].value() == 9
    error = found["task 5"].error
    assert isinstance(error, ResourceError)
    assert (error.code, error.where) == ("worker-ended", "task 5")
    assert {number: work.attempts(number) for number in range(6)} == {0: 1, 1: 1, 2: 1, 3: 2, 4: 1, 5: 2}
    assert all(found[f"task {number}"].value() == number**2 for number in range(5))
    assert not multiprocessing.active_children()


def test_outcomes_come_as_they_are_finished(works, tmp_path):
    with_slow = run_tasks(works.Squares(tmp_path), tasks_of(8, 0, 1), Processes(2))
    started = time.monotonic()
    assert [next(with_slow).name, next(with_slow).name] == ["task 0", "task 1"]
    with_slow.close()
    assert time.monotonic() - started < 30
    assert not multiprocessing.active_children()


def test_work_that_cannot_start_is_the_runs_error(works):
    for place in (Here(), Processes(2)):
        with pytest.raises(InputError, match="reference-unreadable"):
            list(run_tasks(works.NeverStarts("raises"), tasks_of(0, 1, 2), place))


def test_workers_that_end_before_they_begin_are_not_started_for_ever(works):
    with pytest.raises(ResourceError, match="worker-ended"):
        list(run_tasks(works.NeverStarts("killed"), tasks_of(*range(50)), Processes(2), attempts=2))
    assert not multiprocessing.active_children()


def test_a_ctrl_c_ends_the_workers(works, capfd):
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        list(run_tasks(works.Interrupted(os.getpid()), tasks_of(0, 1), Processes(2)))
    assert time.monotonic() - started < 30
    assert not multiprocessing.active_children()
    assert capfd.readouterr() == ("", "")


PARENT = """
import sys
from pathlib import Path

from genolewm_core.jobs import Processes, Task, run_tasks
from jobs_work import Squares

if __name__ == "__main__":
    list(run_tasks(Squares(Path(sys.argv[1])), [Task("a", 8), Task("b", 8)], Processes(2)))
"""


def test_workers_do_not_outlive_a_killed_parent(works, tmp_path):
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    parent = subprocess.Popen(
        [sys.executable, script, tmp_path], start_new_session=True, stderr=subprocess.PIPE
    )
    until = time.monotonic() + 60
    while len(list(tmp_path.glob("start-*"))) < 2 and time.monotonic() < until:
        time.sleep(0.02)
    workers = [int(path.name.rpartition("-")[2]) for path in tmp_path.glob("start-*")]
    assert len(workers) == 2
    parent.kill()
    assert parent.communicate()[1] == b""
    while any(map(running, workers)) and time.monotonic() < until:
        time.sleep(0.02)
    assert not any(map(running, workers))


def running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_no_tasks_start_nothing(works):
    assert list(run_tasks(works.NeverStarts("raises"), [], Processes(2))) == []


@pytest.mark.parametrize("place", [Processes(0), Cluster("local", 0)])
def test_no_workers_are_refused(place, works, tmp_path):
    with pytest.raises(ConfigError, match="config-invalid"):
        list(run_tasks(works.Squares(tmp_path), tasks_of(1), place))


def test_tasks_of_one_name_are_refused(works, tmp_path):
    with pytest.raises(ValueError, match="tasks of one name"):
        list(run_tasks(works.Squares(tmp_path), tasks_of(1, 2, 1)))


def test_the_value_of_an_outcome_without_an_error_is_its_result():
    assert Outcome("a", 4).value() == 4


def test_a_missing_ray_says_what_to_install(works, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(DeploymentError, match="pip install 'genolewm-core") as caught:
        list(run_tasks(works.Squares(tmp_path), tasks_of(1), Cluster("local", 1)))
    assert caught.value.code == "backend-missing"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Ray has its own ideas of what warnings are for
def test_ray_does_the_same_and_replaces_a_killed_actor(works, tmp_path, monkeypatch):
    pytest.importorskip("ray")
    work = works.Squares(tmp_path)
    found = by_name(run_tasks(work, tasks_of(0, 6, 1, 3, 5, 7, 2), Cluster("local", 2), attempts=2))
    assert all(found[f"task {number}"].value() == number**2 for number in range(4))
    assert found["task 6"].error.kind == "ValueError"
    assert found["task 7"].error.code == "vcf-unreadable"
    assert (found["task 5"].error.code, found["task 5"].error.where) == ("worker-ended", "task 5")
    assert {number: work.attempts(number) for number in (0, 1, 2, 3, 5, 6, 7)} == {
        **dict.fromkeys((0, 1, 2, 6, 7), 1),
        **dict.fromkeys((3, 5), 2),
    }
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"
