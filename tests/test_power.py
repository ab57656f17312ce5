"""Everything is killed by SIGKILL, or some of it: the day is scored, and nobody did anything."""

import sys
import time

import psutil
import pytest

from benchmarks.power import PATIENCE_S, Site, served, wait_for

pytestmark = [
    pytest.mark.prefect,
    pytest.mark.slow,  # some minutes; test_flows.py has what `serve` does after each death
    pytest.mark.skipif(sys.platform != "linux", reason="it looks into processes as Linux has them"),
]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    with served(tmp_path_factory.mktemp("power") / "site", n_days=4) as site:
        yield site


def kill(*processes: psutil.Process) -> None:
    for process in processes:
        process.suspend()  # none shall see another one's end
    for process in processes:
        process.kill()


def is_done_again(site: Site, run_id: str, day: str) -> None:
    """Wait until a killed run has crashed, its day is scored, and no slot is taken any more."""
    wait_for(lambda: site.is_scored(day), PATIENCE_S)
    wait_for(lambda: site.state(run_id) == "Completed", PATIENCE_S)
    wait_for(lambda: site.n_alerts(run_id) > 0, PATIENCE_S)  # events are written a little later
    states = [state["name"] for state in site.ask(f"flow_run_states/?flow_run_id={run_id}")]
    assert "Crashed" in states
    assert not site.live_runs()
    wait_for(lambda: not site.n_slots_taken(), PATIENCE_S)


def test_after_a_power_cut_the_day_is_scored_within_two_minutes(site):
    day = site.days[0]
    run_id = site.score(day)
    site.runner(run_id)
    assert site.kill_all() >= 4
    assert not site.is_scored(day)

    site.start()
    assert wait_for(lambda: site.is_scored(day), PATIENCE_S) < 120
    is_done_again(site, run_id, day)


def test_a_run_that_is_killed_alone_is_done_again(site):
    run_id = site.score(site.days[1])
    kill(site.runner(run_id))
    is_done_again(site, run_id, site.days[1])


def test_a_run_and_its_worker_killed_together_are_replaced(site):
    run_id = site.score(site.days[2])
    kill(site.worker(), site.runner(run_id))
    is_done_again(site, run_id, site.days[2])


def test_a_worker_that_is_killed_alone_is_replaced(site):
    day = site.days[3]
    run_id = site.score(day)
    site.runner(run_id)
    kill(site.worker())
    time.sleep(1)
    wait_for(lambda: site.is_scored(day), PATIENCE_S)
    wait_for(lambda: not site.live_runs() and site.state(run_id) == "Completed", PATIENCE_S)
