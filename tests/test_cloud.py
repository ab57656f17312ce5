"""Every command on tables in an object store makes there what it makes in a local folder."""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from people import people
from tiny import TINY, easy_store, untrained, untrained_with

from flows.cli import STRONG_DRIFT, main
from flows.jobs.days import is_published, train_and_compare
from flows.jobs.monitor import read_drift
from flows.jobs.progress import finish
from flows.jobs.retrain import Retrained
from flows.settings import Settings, load_settings
from model import bootstrap
from model.bootstrap import group_counts as counts
from model.config import PromotionConfig
from model.level import fit_level_reference
from model.owner.profiles import Profiles
from model.owner.scorer import OwnerScorer
from model.owner.train import PopulationData
from model.registry import add_run, list_models, promote, read_champion
from model.run import load_model, save_model
from pipeline.errors import ConfigError
from pipeline.schemas import QUARANTINE
from pipeline.scores.partitions import read_manifest, read_partition, read_scores
from pipeline.sessions.feedback import read_feedback
from pipeline.sessions.tables import sessions_table
from pipeline.storage.paths import RemotePath, StoragePath, as_path, local_folder, relative_path
from pipeline.storage.publish import MANIFEST, SUCCESS, write_json
from pipeline.storage.store import Part, load_sessions, note_ingested, write_part

DAY, EMPTY_DAY = "2026-11-01", "2026-11-02"
SHORT = replace(TINY, train=replace(TINY.train, epochs=2, steps_per_epoch=4))
BY_RUN = ["run_id", "scored_at"]  # columns that differ from run to run
BY_PAGE = r'"(run|scored_at)":"[^"]*"|t?here\.html'
FEW = 20  # resamples of an interval: it is the same here and there with any number
RULE = PromotionConfig(min_each=8, n_resamples=200, max_false_alarms=50.0)


@dataclass(frozen=True)
class Both:
    """The same tables in a local folder and in the bucket."""

    here: Path
    there: RemotePath

    def each(self, make: Callable[[StoragePath], object]) -> tuple:
        """Return what `make` makes of the one and of the other."""
        return make(self.here), make(self.there)


def command(*words: object) -> list[str]:
    """Return the lines that a command prints."""
    with redirect_stdout(StringIO()) as out:
        try:
            main([str(word) for word in words])
        except SystemExit as stop:
            if stop.code not in (None, 0, STRONG_DRIFT):
                raise
    return out.getvalue().splitlines()


def refusal(capsys, *words: object) -> str:
    """Return what a command says that fails by the user's fault."""
    with pytest.raises(SystemExit) as stop:
        main([str(word) for word in words])
    assert stop.value.code == 1
    return capsys.readouterr().err


def names(folder: StoragePath) -> list[str]:
    """Return what lies below a folder."""
    return sorted(str(relative_path(p, folder)) for p in folder.rglob("*") if p.is_file())


def content(folder: StoragePath) -> dict[str, bytes]:
    """Return the bytes of what lies below a folder."""
    return {name: (folder / name).read_bytes() for name in names(folder)}


def copy(source: Path, target: RemotePath) -> None:
    """Put the files of a folder into the bucket."""
    for name in names(source):
        (target / name).upload(source / name)


def rows(partition: StoragePath) -> pd.DataFrame:
    return read_partition(partition).drop_columns(BY_RUN).to_pandas()


@pytest.fixture(scope="module", autouse=True)
def few_resamples() -> Iterator[None]:
    """Save the time that intervals take."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            bootstrap,
            "group_counts",
            lambda codes, labels, n, seed: counts(codes, labels, FEW, seed),
        )
        yield


@pytest.fixture(scope="module")
def both(bucket, tmp_path_factory) -> Both:
    """Return a store, its labels, and a registry with a champion that nobody trained, twice."""
    folder = tmp_path_factory.mktemp("both")
    sessions = load_sessions([easy_store(folder / "store", n=128, people=32)])
    labels = pd.DataFrame({"session_id": sessions.session_id, "label": sessions.label})
    labels.to_csv(folder / "labels.csv", index=False)
    run = folder / "run"
    save_model(untrained(), run)
    write_json(
        {"sessions": {"train": [], "valid": [], "calib": [], "test": []}}, run / "split.json"
    )
    (run / "MODEL_CARD.md").write_text("# Untrained\n")
    (run / SUCCESS).touch()
    copy(folder, bucket / "both")
    found = Both(folder, bucket / "both")
    for at in (found.here, found.there):
        command("models", "promote", at / "run", "--models", at / "models", "--why", "begun")
    return found


def settings_file(at: StoragePath, folder: Path) -> Path:
    """Return a TOML that has all tables in `at`."""
    places = {name: f"{at}/{name}" for name in ("store", "scores", "models", "drift")}
    lines = [f'{name} = "{path}"' for name, path in places.items()]
    file = folder / "pointerprint.toml"
    file.write_text("\n".join([f'logs = ["{at}/logs"]', *lines]) + "\n")
    return file


@pytest.fixture(scope="module")
def sites(both, tmp_path_factory) -> tuple[Settings, Settings]:
    """Return the two installations, of which all that lies anywhere is read from a TOML."""
    found = both.each(lambda at: load_settings(settings_file(at, tmp_path_factory.mktemp("toml"))))
    here, there = (replace(site, run=SHORT, promote=RULE) for site in found)
    return here, there


@pytest.fixture(scope="module")
def retrained(sites) -> tuple[Retrained, Retrained]:
    """Return what came of training beside the untrained champions."""
    here, there = (finish(train_and_compare(site, "always")) for site in sites)
    return here, there


@pytest.fixture(scope="module")
def scored(both, retrained) -> Both:
    """Return both with a day of scores by the retrained champions."""
    for at in (both.here, both.there):
        (last,) = command(
            *("score", at / "store", "--model", at / "models", "--to", at / "scores"),
            *("--date", DAY, "--quiet"),
        )
        assert last == f"{at}/scores/run_date={DAY}"
    return both


@pytest.fixture
def no_server(tmp_path, monkeypatch) -> None:
    """Leave `backfill` without a Prefect server."""
    monkeypatch.setattr("flows.prefect.environment.find_url", lambda site: None)
    monkeypatch.chdir(tmp_path)


def test_a_toml_with_places_in_an_object_store_is_read_and_passed_on(sites, both, tmp_path):
    _, site = sites
    assert isinstance(site.scores, RemotePath)
    assert [str(path) for path in (site.store, *site.logs)] == [
        f"{both.there}/store", f"{both.there}/logs",
    ]  # fmt: skip
    # As a flow's parameter or a worker gives it: `Path` took one of the slashes away.
    assert replace(site, store=Path("s3://bucket/other")).store == as_path("s3://bucket/other")
    file = settings_file(both.there, tmp_path)
    printed = command("settings", "--settings", file, "--set", "drift=s3://bucket/elsewhere")
    assert f'scores = "{both.there}/scores"' in "\n".join(printed)
    assert any(line.startswith('drift = "s3://bucket/elsewhere"') for line in printed)


def test_simulated_twins(both):
    printed = both.each(
        lambda at: command("simulate", at / "store", "--to", at / "twins", "--seed", 3)
    )
    here, there = both.each(lambda at: sessions_table(load_sessions([at / "twins"])))

    assert here.num_rows > 100
    assert here.equals(there)
    assert printed[0][0] == printed[1][0]
    assert printed[1][-1] == f"{both.there}/twins"
    # The same parts: each is whole, under a name made of what it holds.
    assert names(both.here / "twins.quarantine") == names(both.there / "twins.quarantine")


def test_adapting(bucket, tmp_path):
    easy_store(tmp_path / "store", n=128, people=32)
    rng = np.random.default_rng(0)
    values = np.append(rng.normal(3, 0.6, 200), rng.normal(8, 1, 200))
    reference = fit_level_reference(
        values, np.repeat([0, 1], 200), np.full(400, "lab", dtype=object)
    )
    save_model(replace(untrained(), level_reference=reference), tmp_path / "run")
    (tmp_path / "run" / "_SUCCESS").touch()
    copy(tmp_path, bucket / "adapting")
    found = Both(tmp_path, bucket / "adapting")

    found.each(
        lambda at: command("adapt", at / "store", "--model", at / "run", "--to", at / "run2")
    )
    assert names(found.here / "run2") == names(found.there / "run2")
    here, there = found.each(lambda at: load_model(at / "run2"))
    assert here.model_id == there.model_id != load_model(found.here / "run").model_id
    assert list(here.levels) == ["17 ms fractional px move"]


def test_profiles(bucket, tmp_path):
    trained, known = people(0, 6), people(100, 2)
    config = replace(TINY, task="owner")
    none = Profiles.empty(PopulationData(config, trained).population())
    model = untrained_with(OwnerScorer(config, none))
    save_model(model, tmp_path / "run")
    part = Part(tmp_path / "store", DAY, "made")
    write_part(part, [known], QUARANTINE.empty_table(), {"files": []})
    copy(tmp_path, bucket / "owners")
    found = Both(tmp_path, bucket / "owners")

    for _ in range(2):  # again: nothing is added
        printed = found.each(lambda at: command("enroll", at / "store", "--model", at / "run"))
        assert printed[0] == printed[1]
        here, there = found.each(lambda at: load_model(at / "run"))  # and the manifest fits
        assert here.scorer.profiles.table.num_rows == len(known)
        assert here.scorer.profiles.table.equals(there.scorer.profiles.table)
        assert here.model_id == there.model_id != model.model_id
        assert names(found.here / "run") == names(found.there / "run")


def test_models_are_listed_promoted_and_rolled_back(bucket, tmp_path):
    found = Both(tmp_path, bucket / "registry")
    for name, seed in (("one", 0), ("two", 1)):
        save_model(untrained(replace(TINY, seed=seed)), tmp_path / name)
        (tmp_path / name / SUCCESS).touch()
    ids = [load_model(tmp_path / name).model_id for name in ("one", "two")]
    copy(tmp_path, found.there)

    for name in ("one", "two", "two"):  # one that is there already is left alone
        printed = found.each(
            lambda at, name=name: command("models", "promote", at / name, "--models", at / "models")
        )
    assert printed == tuple([f"{at}/models/{ids[1]}"] for at in (found.here, found.there))
    here, there = found.each(
        lambda at: json.loads(
            "\n".join(command("models", "list", "--models", at / "models", "--json"))
        )
    )
    assert {row["model_id"]: row["is_champion"] for row in there} == {
        row["model_id"]: row["is_champion"] for row in here
    } == {ids[0]: False, ids[1]: True}  # fmt: skip
    for model_id in ids:
        assert content(found.here / "models" / model_id) == content(
            found.there / "models" / model_id
        )
    found.each(lambda at: command("models", "rollback", "--models", at / "models"))
    champions = found.each(lambda at: read_champion(at / "models"))
    assert [champion.model_id for champion in champions] == [ids[0], ids[0]]
    assert [len(champion.changes) for champion in champions] == [3, 3]
    assert names(bucket / "registry" / "models.staging") == []
    # From the object store into a local registry, and the other way round.
    add_run(tmp_path / "mixed", found.there / "one", ids[0])
    assert load_model(tmp_path / "mixed" / ids[0]).model_id == ids[0]


def test_a_model_that_came_in_half_is_none(bucket, tmp_path):
    save_model(untrained(), tmp_path / "run")
    (tmp_path / "run" / SUCCESS).touch()
    models, model_id = bucket / "halves", load_model(tmp_path / "run").model_id
    copy(tmp_path / "run", models / model_id)
    (models / model_id / SUCCESS).unlink()  # put last: the copying was cut short
    (models / model_id / "policy.json").unlink()

    assert list(list_models(models)) == []
    add_run(models, tmp_path / "run", model_id)
    promote(models, model_id, "whole now")
    assert load_model(models).model_id == model_id


def test_a_challenger_is_trained_compared_and_promoted(sites, retrained):
    here, there = retrained

    assert there.is_champion
    assert there.model_id == here.model_id
    assert there.why == here.why
    assert there.comparison is not None
    assert there.comparison == here.comparison
    assert str(there.run) == f"{sites[1].models}/{there.model_id}"
    assert read_champion(sites[1].models).model_id == there.model_id
    for name in ("comparison.json", "metrics.json", "split.json", "reference.json"):
        assert (here.run / name).read_bytes() == (there.run / name).read_bytes()
    assert "## Beside the champion" in (there.run / "MODEL_CARD.md").read_text()
    assert names(sites[1].models.with_name("models.staging")) == []


def test_figures_of_scores_and_their_plots(scored):
    printed = scored.each(
        lambda at: command(
            *("evaluate", at / "scores", "--labels", at / "labels.csv"),
            *("--store", at / "store", "--to", at / "figures"),
        )
    )
    here, there = scored.each(lambda at: content(at / "figures"))

    assert printed[0] == printed[1]
    assert set(there) == {"evaluation.json", "scores.png", "roc.png", "reliability.png"}
    assert here == there


def test_figures_that_break_off_leave_nothing(bucket):
    def cut_short() -> None:
        with local_folder(bucket / "broken figures") as folder:
            write_json({}, folder / "evaluation.json")
            raise RuntimeError("cut short")

    with pytest.raises(RuntimeError, match="cut short"):
        cut_short()
    assert names(bucket / "broken figures") == []


def test_an_audit_and_its_figures(scored):
    printed = scored.each(
        lambda at: command(
            *("audit", at / "store", "--labels", at / "labels.csv"),
            *("--scores", at / "scores", "--to", at / "audit"),
        )
    )
    here, there = scored.each(lambda at: content(at / "audit"))

    assert printed[0] == printed[1]
    assert set(there) == {"audit.json", "audit.png", "device_decided.csv"}
    assert here == there


@pytest.mark.parametrize("table", ["store", "scores"])
def test_labels_fed_back(scored, table, tmp_path):
    first = read_scores(scored.here / "scores")["session_id"].to_pylist()[:3]
    verdicts = tmp_path / "verdicts.csv"
    said = zip(first, ("fraud", "legitimate", "unsure"), strict=True)
    verdicts.write_text("session_id,label\n" + "".join(f"{a},{b}\n" for a, b in said))
    (scored.there / "verdicts.csv").upload(verdicts)
    for n_new in (3, 0):  # once is enough
        for at, file in ((scored.here, verdicts), (scored.there, scored.there / "verdicts.csv")):
            printed = command("label", at / table, "--from", file)
            assert printed[0].startswith(f"{n_new} labels added")
            assert printed[-1] == f"{at}/{table}.feedback"
    here, there = scored.each(lambda at: read_feedback(at / table).drop_columns(["given_at"]))
    assert here.num_rows == 3
    assert here.equals(there)
    assert len(names(scored.there / f"{table}.feedback")) == 1


def test_pictures_of_sessions(scored):
    for options in ([], ["--model", "models"]):
        for at in (scored.here, scored.there):
            words = [at / word if word == "models" else word for word in options]
            printed = command("draw", at / "store", "--to", at / "sheet.png", "--limit", 2, *words)
            assert printed == [f"{at}/sheet.png"]
        here, there = scored.each(lambda at: (at / "sheet.png").read_bytes())
        assert here.startswith(b"\x89PNG")
        assert here == there


def test_a_report_of_remote_scores_is_made_here_and_there(scored, tmp_path):
    pages = [
        command(
            "report", scores / "scores", "--labels", at / "labels.csv", "--limit", 5, "--to", to
        )
        for at, scores, to in (
            (scored.here, scored.here, tmp_path / "here.html"),
            (scored.there, scored.there, tmp_path / "there.html"),
            (scored.there, scored.there, scored.there / "report" / "there.html"),
        )
    ]
    assert pages[2] == [f"{scored.there}/report/there.html"]
    here, fetched, there = (as_path(page).read_text() for (page,) in pages)
    assert there == fetched
    # A page knows its name, and what scored when; all else is the same.
    here, there = (re.sub(BY_PAGE, "", page) for page in (here, there))
    assert there == here
    assert names(scored.there / "report") == ["there.html"]


def test_days_that_are_missing_are_scored_and_watched(scored, no_server, tmp_path):
    assert scored.each(lambda at: is_published(at / "scores", DAY)) == (True, True)
    before = names(scored.there / "scores" / f"run_date={DAY}")
    for at in (scored.here, scored.there):
        note_ingested(at / "store", EMPTY_DAY, 0)  # looked for, and there was nothing
        file = settings_file(at, tmp_path)
        words = ["backfill", "--settings", file, "--start", DAY, "--end", EMPTY_DAY]
        made = command(*words, "--only-missing")
        assert made == [f"{at}/scores/run_date={EMPTY_DAY}"]
        assert command(*words, "--only-missing") == []
        made = command(*words, "--what", "monitor", "--only-missing")
        assert made == [f"{at}/drift/run_date={day}" for day in (DAY, EMPTY_DAY)]
        assert command(*words, "--what", "monitor", "--only-missing") == []
    assert names(scored.there / "scores" / f"run_date={DAY}") == before

    for day in (DAY, EMPTY_DAY):
        here, there = scored.each(lambda at, day=day: rows(at / "scores" / f"run_date={day}"))
        pd.testing.assert_frame_equal(here, there)
        drift = scored.each(lambda at, day=day: at / "drift" / f"run_date={day}")
        here, there = (read_drift(at).drop_columns(["checked_at"]) for at in drift)
        assert here.num_rows > 0
        assert here.equals(there)
        assert read_manifest(drift[0])["level"] == read_manifest(drift[1])["level"]
        # Whole by its manifest: it names what lies there, and nothing else does.
        listed = read_manifest(drift[1])["files"]
        assert names(drift[1]) == sorted([*listed, MANIFEST, SUCCESS])


def test_a_day_is_watched_again(scored, no_server, tmp_path):
    for at in (scored.here, scored.there):
        file = settings_file(at, tmp_path)
        for _ in range(2):  # the second replaces the first
            words = ["--settings", file, "--set", f"drift={at}/again", "--date", DAY]
            assert command("monitor", *words)[-1] == f"{at}/again/run_date={DAY}"
    assert len(names(scored.there / "again" / f"run_date={DAY}")) == 3


def test_prefects_page_shows_a_day_that_lies_there(scored, sites, monkeypatch):
    from flows.prefect import artifacts

    shown: list[tuple] = []
    for name in ("table", "markdown"):
        monkeypatch.setattr(
            artifacts, f"create_{name}_artifact", lambda *words, **_: shown.append(words)
        )
    partition = scored.there / "scores" / f"run_date={DAY}"
    artifacts.show_day(sites[1], DAY, partition)
    (summary,) = (words[0] for words in shown if isinstance(words[0], str))
    picture = f"{scored.there}/scores.pictures/run_date={DAY}.png"
    assert f"`{partition}`" in summary
    assert f"`{picture}`" in summary
    assert "](data:image/" in summary
    assert as_path(picture).read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (["settings", "--set", "server.home=s3://bucket/prefect"], "server.home"),
        (["settings", "--settings", "s3://bucket/pointerprint.toml"], "settings"),
        (["train", "store", "--to", "run", "--config", "s3://bucket/run.toml"], "--config"),
        (["demo", "--to", "s3://bucket/demo"], "demo"),
        (
            ["score", "log", "--model", "run", "--to", "scores", "--profile", "s3://bucket/p"],
            "--profile",
        ),
    ],
)
def test_what_has_to_be_on_this_machine_says_so(words, what, capsys, no_server):
    said = refusal(capsys, *words)
    assert f"error: {what}: s3://bucket/" in said
    assert "is in an object store" in said
    assert "hint: it has to be a path on this machine" in said or "(hint: it has" in said
    assert not Path("s3:").exists()  # nothing was written beside it by mistake


def test_a_database_in_an_object_store_is_refused():
    with pytest.raises(ConfigError, match=r"server\.home.*on this machine"):
        load_settings(None, ["server.home=s3://bucket/prefect"])
