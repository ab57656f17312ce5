"""The command line: one short function a command; each builds a job, runs it, prints its result.

No NumPy, pandas, JAX or Prefect is imported until a command needs it, so that `--help` is quick.
"""

import json as json_
import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from cyclopts import App, CycloptsError, Parameter
from cyclopts.argument import ArgumentCollection, update_argument_collection

from flows.console import (
    QUIET,
    SIGNALLED,
    Stopped,
    plain_warnings,
    print_epoch,
    print_message,
    print_throughput,
    shown_progress,
    shown_work,
    stoppable,
    stopped_text,
)
from model.config import RunConfig
from pipeline.config import AbstainIs, Task, WindowConfig
from pipeline.errors import ConfigError, NotFoundError, PointerprintError, without_secrets
from pipeline.readers import AUTO, format_names
from rasterize.canvas import Canvas

if TYPE_CHECKING:  # it takes time to import
    from flows.settings import FoundSettings, Settings
    from pipeline.storage.paths import StoragePath

    FormatName = str
else:
    FormatName = Literal[(AUTO, *format_names())]

EVERYWHERE: Final = """Everywhere: --quiet shows no progress, NO_COLOR=1 no colours; -h, --help
explains a command. Results go to stdout, all else to stderr."""
TRAINING: Final = """Settings of the training: --task owner, --seed 1, --train.epochs 20 and so on,
or [run] in pointerprint.toml. With --config FILE another file counts: its [run], or all of it if
it has no [run]. `pointerprint settings` prints them all and what they are for."""
STRONG_DRIFT: Final = 3
"""The exit code of `monitor` after a strong change."""

NEEDED: Final = {
    "ingest": "LOG", "train": "STORE", "enroll": "STORE", "score": "LOG|STORE", "audit": "STORE"
}  # fmt: skip
"""What a command takes first."""

UNHEALTHY: Final = 3
"""The exit code of `health` if something is wrong."""


def _version() -> str:
    from importlib.metadata import version

    return version("pointerprint")


app = App(
    name="pointerprint",
    help="Fraud detection from mouse movements.",
    help_format="plaintext",  # Markdown would cost a third of the time
    help_epilogue=EVERYWHERE,
    version=_version,
    version_flags=["--version"],
    suppress_keyboard_interrupt=False,  # `main` says more about it
)
models_app = App(name="models", help="List trained models, and choose the one that scores.")

ColumnNames = Annotated[
    str | None,
    Parameter(help="Column names of the log: `session_id=sid,t_ms=ts`; t_s, t_us, t_iso too."),
]
FormatChoice = Annotated[FormatName, Parameter(help="The log's format; `auto` recognises it.")]
RecorderName = Annotated[
    str, Parameter(help="A name for what wrote the logs. Default: found or estimated.")
]
RunDate = Annotated[
    str | None, Parameter(help="YYYY-MM-DD; default: today, in the settings' time zone.")
]
AsJson = Annotated[bool, Parameter(negative=(), help="Print JSON instead of a table.")]
SettingsFile = Annotated[
    Path | None, Parameter(help="The settings' TOML; default: pointerprint.toml, if it is there.")
]
Sets = Annotated[
    list[str] | None,
    Parameter(name="--set", negative=(), help="Override a setting: `--set store=/srv/store`."),
]
Yes = Annotated[bool, Parameter(negative=(), help="Do it; without, it only says what it would.")]
Models = Annotated[
    Path | None, Parameter(help="The folder of models; default: the settings' `models`.")
]


@app.command
def ingest(
    *logs: Path,
    to: Path,
    format: FormatChoice = AUTO,
    columns: ColumnNames = None,
    labels: Annotated[Path | None, Parameter(help="CSV or Parquet: session_id,label.")] = None,
    recorder: RecorderName = "",
    date: RunDate = None,
    strict: Annotated[bool, Parameter(negative=(), help="Any bad row is an error.")] = False,
    json: AsJson = False,
) -> None:
    """Read logs, clean them, and add their sessions to the store `--to`."""
    from flows.jobs.inputs import IngestJob, today
    from flows.jobs.inputs import ingest as ingest_logs
    from flows.jobs.progress import finish
    from pipeline.storage.paths import as_path

    _require(logs, "ingest", "LOG")
    job = IngestJob(
        logs, to, date or today(), format, _columns(columns), labels, recorder, strict
    )  # fmt: skip
    with shown_progress("reading") as show:
        report = finish(ingest_logs(job), show)
    text = "\n".join([*report.summary(), str(as_path(to))])
    _print(report.to_json() if json else text)


@app.command
def draw(
    source: Path,
    *,
    to: Path,
    session: Annotated[
        list[str] | None,
        Parameter(negative=(), help="Only this one, with all its windows; --print: one or two."),
    ] = None,
    format: FormatChoice = AUTO,
    columns: ColumnNames = None,
    limit: Annotated[int, Parameter(help="Pictures on the sheet, at most.")] = 12,
    model: Annotated[
        Path | None,
        Parameter(
            help="A RUN, or `starter`: as its model sees them, and what raised the score; with "
            "--print, how they differ from their account, or from the people it was trained on."
        ),
    ] = None,
    large: Annotated[
        bool, Parameter(negative=(), help="One session, whole, in one large picture.")
    ] = False,
    print_: Annotated[
        bool,
        Parameter(name="--print", negative=(), help="A session's print beside its path, or two."),
    ] = False,
    canvas: Canvas = Canvas(),
    window: WindowConfig = WindowConfig(),
) -> None:
    """Draw sessions of a log or store to a PNG with a legend: their paths, or a print."""
    _prepare()
    from flows.jobs.draw import DrawJob, draw_paths, draw_prints

    if print_ and large:
        raise ConfigError("draw", "--print and --large", "choose one of them")
    job = DrawJob(
        source, to, tuple(session or ()), format, _columns(columns), limit, model, large, canvas,
        window,
    )  # fmt: skip
    _print(draw_prints(job) if print_ else draw_paths(job))


@app.command
def simulate(
    store: Path,
    *,
    to: Path,
    bots: Annotated[str | None, Parameter(help="Names, with commas between; default: all.")] = None,
    per_session: Annotated[int, Parameter(help="Synthetic sessions for each session.")] = 1,
    seed: int = 0,
) -> None:
    """Make synthetic sessions from a store's: the same plan and clock, moved by a bot."""
    from flows.jobs.sessions import SimulateJob, simulate
    from pipeline.storage.paths import as_path

    names = tuple(bots.split(",")) if bots else ()
    n_sessions = simulate(SimulateJob(store, to, names, per_session, seed))
    _print(f"{n_sessions:,} simulated sessions\n{as_path(to)}")


def _run_settings(app: App, commands: tuple[str, ...], arguments: ArgumentCollection) -> None:
    """Have what --config, pointerprint.toml and the environment set count where no flag does."""
    from flows.settings import find_run_settings

    given = [token.value for one in arguments if "--config" in one.names for token in one.tokens]
    for name, setting in find_run_settings(Path(given[0]) if given else None).items():
        update_argument_collection(
            {name: setting.value}, setting.source, arguments, root_keys=(), allow_unknown=False
        )


@app.command(help_epilogue=TRAINING, config=_run_settings)
def train(
    *stores: Path,
    to: Annotated[Path, Parameter(help="A new folder for the trained model: the RUN.")],
    simulate: Annotated[
        bool, Parameter(negative=(), help="Add simulated bots: legitimate sessions suffice.")
    ] = False,
    feedback: Annotated[
        list[Path] | None,
        Parameter(help="SCORES beside which labels were fed back; the stores' own count anyway."),
    ] = None,
    resume: Annotated[
        bool, Parameter(negative=(), help="Continue an interrupted training.")
    ] = False,
    force: Annotated[
        bool, Parameter(negative=(), help="Replace the RUN that is there, and who is enrolled.")
    ] = False,
    config: Annotated[Path | None, Parameter(help="A TOML with settings of the training.")] = None,
    settings: Annotated[RunConfig, Parameter(name="*", show=False)] = RunConfig(),
) -> None:
    """Train on the labelled sessions of stores; print the figures on the sessions held out."""
    _prepare()
    _require(stores, "train", "STORE")
    from flows.jobs.progress import finish
    from flows.jobs.train import TrainJob, train
    from model.text import evaluation_text
    from pipeline.storage.paths import as_path

    job = TrainJob(stores, to, settings, simulate, resume, tuple(feedback or ()), force)
    with shown_work("training"):
        evaluation = finish(train(job), print_epoch)
    _print(f"{evaluation_text(evaluation)}\n{as_path(to)}")


@app.command
def enroll(
    *stores: Path,
    model: Annotated[Path, Parameter(help="A RUN trained with --task owner.")],
    device: Annotated[str, Parameter(help="A name: an account may have a profile for each.")] = "",
    json: AsJson = False,
) -> None:
    """Make or extend the profiles of accounts from their legitimate sessions, without training."""
    _prepare()
    from flows.jobs.sessions import EnrollJob, enroll

    _require(stores, "enroll", "STORE")
    with shown_work("enrolling"):
        profiles = enroll(EnrollJob(stores, model, device))
    text = profiles.to_string(index=False, float_format="{:.2f}".format)
    _print(profiles.to_dict("records") if json else text)


@app.command
def adapt(
    *stores: Path,
    model: Annotated[
        Path, Parameter(help="A RUN of the fraud task, or a folder of models: its champion.")
    ],
    to: Annotated[Path, Parameter(help="A new folder for the adapted model: the RUN.")],
    feedback: Annotated[
        list[Path] | None,
        Parameter(help="SCORES beside which labels were fed back; the stores' own count anyway."),
    ] = None,
    json: AsJson = False,
) -> None:
    """Set a model's level to a site's unlabelled sessions, without training.

    It takes some hundred sessions of each recorder, of which up to a fifth may be frauds.
    """
    _prepare()
    _require(stores, "adapt", "STORE")
    from flows.jobs.adapt import AdaptJob, adapt
    from pipeline.storage.paths import as_path

    found = adapt(AdaptJob(stores, model, to, tuple(feedback or ())))
    _print(found.to_json() if json else f"{found.to_text()}\n{as_path(to)}")


@app.command
def score(
    *sources: Path,
    model: Annotated[
        Path | None,
        Parameter(
            help="The RUN that train made, or a folder of models: its champion. Default: the "
            "champion of the settings' `models`, else the starter model that ships (`starter`)."
        ),
    ] = None,
    to: Annotated[Path, Parameter(help="The SCORES folder.")],
    date: RunDate = None,
    format: FormatChoice = AUTO,
    columns: ColumnNames = None,
    recorder: RecorderName = "",
    history: Annotated[
        list[Path] | None,
        Parameter(help="Earlier sessions that may have been replayed; they aren't scored."),
    ] = None,
    replays: Annotated[bool, Parameter(help="Compare sessions with each other.")] = True,
    workers: Annotated[int, Parameter(help="Processes that score at the same time.")] = 1,
    scheduler: Annotated[
        str | None, Parameter(help="Score on a Dask cluster: tcp://HOST:PORT.")
    ] = None,
    budget: Annotated[
        float | None,
        Parameter(help="Target FPR; one that the model was calibrated for. Default: its own."),
    ] = None,
    abstain_is: Annotated[
        AbstainIs, Parameter(help="Whether sessions that abstain are for review.")
    ] = "review",
    profile: Annotated[
        Path | None, Parameter(help="A folder for a profile: a trace, and a list of functions.")
    ] = None,
    json: AsJson = False,
) -> None:
    """Score every session of logs or stores into the Parquet partition of a day."""
    _prepare()
    from flows.jobs.inputs import today
    from flows.jobs.partition import summary_json, summary_lines
    from flows.jobs.progress import finish
    from flows.jobs.score import ScoreJob, score
    from model.device import profiled
    from pipeline.scores.partitions import read_manifest

    _require(sources, "score", "LOG|STORE")
    job = ScoreJob(
        sources, model or _champion_or_starter(), to, date or today(), format, _columns(columns),
        recorder, tuple(history or ()), replays, workers, scheduler, budget, abstain_is,
    )  # fmt: skip
    began = time.monotonic()
    with profiled(profile), shown_progress("scoring") as show:
        partition = finish(score(job), show)
    manifest = read_manifest(partition)
    print_throughput(manifest["n_sessions"], "sessions", time.monotonic() - began)
    if not json:
        print_message("\n".join(summary_lines(manifest)))
    _print(summary_json(partition, manifest) if json else partition)


@app.command
def evaluate(
    scores: Path,
    *,
    labels: Annotated[Path, Parameter(help="session_id,label[,account_id].")],
    store: Annotated[
        list[Path] | None, Parameter(help="Stores of these sessions: adds the best single feature.")
    ] = None,
    to: Annotated[Path | None, Parameter(help="A folder for the figures and plots.")] = None,
    by: Annotated[
        str | None,
        Parameter(help="A column of the labels, such as `device`: rates for each of its values."),
    ] = None,
    json: AsJson = False,
) -> None:
    """Compare scores with labels: AUC, EER, TPR at 1 % FPR and more, with intervals."""
    from flows.jobs.evaluate import EvaluateJob, evaluate
    from model.text import evaluation_text

    with shown_work("evaluating"):
        evaluation = evaluate(EvaluateJob(scores, labels, tuple(store or ()), to, by))
    _print(evaluation.to_json() if json else evaluation_text(evaluation))


@app.command
def audit(
    *stores: Path,
    labels: Annotated[
        Path | None, Parameter(help="session_id,label; they count before the stores' own.")
    ] = None,
    scores: Annotated[
        Path | None, Parameter(help="SCORES of these sessions: adds the model's row.")
    ] = None,
    task: Annotated[Task | None, Parameter(help="Default: decided by most of the frauds.")] = None,
    to: Annotated[
        Path | None, Parameter(help="A folder for figures, plot and the sessions decided.")
    ] = None,
    seed: int = 0,
    json: AsJson = False,
) -> None:
    """Measure how far one gets without the path: by clock, screen, length alone."""
    from flows.jobs.evaluate import AuditJob, audit
    from model.text import audit_text

    _require(stores, "audit", "STORE")
    with shown_work("auditing"):
        found = audit(AuditJob(stores, labels, scores, task, to, seed))
    _print(found.to_json() if json else audit_text(found))


@app.command
def report(
    scores: Path,
    *,
    to: Annotated[Path, Parameter(help="The page, HTML; beyond 1,000 cases, more beside it.")],
    date: Annotated[str | None, Parameter(help="YYYY-MM-DD; default: the last day scored.")] = None,
    labels: Annotated[
        Path | None, Parameter(help="session_id,label: shown, and compared with the scores.")
    ] = None,
    store: Annotated[
        list[Path] | None,
        Parameter(help="Stores or logs of the sessions; default: where they were scored from."),
    ] = None,
    model: Annotated[
        Path | None,
        Parameter(help="The RUN, or `starter`; default: where it was when it scored."),
    ] = None,
    limit: Annotated[int, Parameter(help="Cases, at most, the highest scores first.")] = 10_000,
    json: AsJson = False,
) -> None:
    """Make an HTML report of a day's cases: path, print and reasons of each; it takes verdicts."""
    _prepare()
    from flows.jobs.progress import finish
    from flows.jobs.report import ReportJob, report

    job = ReportJob(scores, to, date, labels, tuple(store or ()), model, limit)
    with shown_progress("drawing") as show:
        pages = finish(report(job), show)
    _print({"pages": [str(page) for page in pages]} if json else "\n".join(map(str, pages)))


@app.command
def label(
    table: Annotated[Path, Parameter(help="The STORE or SCORES whose sessions were reviewed.")],
    *,
    from_: Annotated[
        Path, Parameter(name="--from", help="session_id,label[,note]; 1, 0, fraud, legitimate...")
    ],
    json: AsJson = False,
) -> None:
    """Feed labels back: the latest counts, `unsure` removes it, the history is kept."""
    from flows.jobs.sessions import label
    from pipeline.sessions.feedback import feedback_folder

    report = label(table, from_)
    _print(report.to_json() if json else f"{report.to_text()}\n{feedback_folder(table)}")


app.command(models_app)


@models_app.command(name="list")
def list_(*, models: Models = None, settings: SettingsFile = None, json: AsJson = False) -> None:
    """Show all models with their AUC on held-out sessions; `*` marks the champion."""
    from model.registry import list_models

    entries = list(list_models(_models(models, settings)))
    if json:
        _print([asdict(entry) for entry in entries])
        return
    lines = [f"  {'model':<16}  {'task':<5}  {'trained (UTC)':<19}  ROC AUC, held out"]
    for entry in entries:
        auc = "-"
        if entry.roc_auc is not None:
            auc = f"{entry.roc_auc:.3f} [{entry.roc_auc_low:.3f}, {entry.roc_auc_high:.3f}]"
        mark = "*" if entry.is_champion else " "
        lines.append(
            f"{mark} {entry.model_id:<16}  {entry.task:<5}  {entry.trained_at[:19]}  {auc}"
        )
    _print("\n".join(lines))


@models_app.command
def promote(
    model: Annotated[str, Parameter(help="A model's id, or a RUN to add to the models first.")],
    *,
    models: Models = None,
    settings: SettingsFile = None,
    why: Annotated[str, Parameter(help="The reason, kept with the change.")] = "by hand",
    force: Annotated[
        bool, Parameter(negative=(), help="Also a model of another task than the champion's.")
    ] = False,
) -> None:
    """Make a model the champion: the one that scores."""
    from model.registry import add_run, promote, require_task
    from pipeline.storage.paths import as_path

    folder, model_id, run = _models(models, settings), model, as_path(model)
    is_new = (run / "config.json").is_file()
    chosen = run if is_new else folder / model_id
    if not force and (chosen / "config.json").is_file():
        require_task(folder, chosen, _load(settings, ())[0].run.task)
    if is_new:
        _prepare()
        from model.run import load_model

        model_id = load_model(run).model_id
        add_run(folder, run, model_id)
    promote(folder, model_id, why)
    _print(folder / model_id)


@models_app.command
def rollback(*, models: Models = None, settings: SettingsFile = None) -> None:
    """Make the model that was champion before champion again."""
    from model.registry import rollback

    folder = _models(models, settings)
    _print(folder / rollback(folder).model_id)


@app.command
def backfill(
    *,
    start: Annotated[str, Parameter(help="The first day, YYYY-MM-DD.")],
    end: Annotated[str, Parameter(help="The last day.")],
    only_missing: Annotated[
        bool, Parameter(negative=(), help="Pass over days that have a published partition.")
    ] = False,
    what: Annotated[Literal["score", "monitor"], Parameter(help="Which daily job.")] = "score",
    wait_s: Annotated[
        float, Parameter(help="With a server: wait so long for the runs to end, s.")
    ] = 0.0,
    settings: SettingsFile = None,
    set_: Sets = None,
) -> None:
    """Run days again, or the missing ones: on the Prefect server if there is one, else here.

    With a server each day and model is one run, however often it is asked for.
    """
    loaded, _ = _start(settings, set_)
    from flows.prefect.backfill import backfill_here, backfill_there, missing_days
    from flows.prefect.environment import find_url

    days = missing_days(loaded, start, end, only_missing, what)
    url = find_url(loaded)
    where = f"by {url}" if url else "here: no server was found"
    print_message(f"{len(days)} days to {what}, {where}")
    if url is None:
        partitions = backfill_here(loaded, days, what, print_message)
        for partition in partitions:
            _print(partition)
        if len(partitions) < len(days):
            raise SystemExit(1)
        return
    runs = backfill_there(loaded, days, what, url, wait_s, print_message)
    for run in runs:
        _print(f"{run.day} {run.run_id} {run.state.lower()}")
    if wait_s and any(run.state != "Completed" for run in runs):
        raise SystemExit(1)


@app.command
def monitor(
    *,
    date: RunDate = None,
    settings: SettingsFile = None,
    set_: Sets = None,
    json: AsJson = False,
) -> None:
    """Compare a day's sessions and scores with the model's reference; exit 3 on strong drift."""
    loaded, _ = _start(settings, set_)
    from flows.jobs.days import monitor_day
    from flows.jobs.inputs import today
    from flows.jobs.monitor import drift_text, read_drift
    from pipeline.monitoring.drift import strongest

    partition = monitor_day(loaded, date or today(loaded))
    found = read_drift(partition)
    _print(found.to_pylist() if json else f"{drift_text(found)}\n{partition}")
    if strongest(found) == "strong":
        raise SystemExit(STRONG_DRIFT)


@app.command
def prune(
    *,
    keep_days: Annotated[int, Parameter(help="Keep what is of the last days, as many.")],
    yes: Yes = False,
    settings: SettingsFile = None,
    set_: Sets = None,
) -> None:
    """Delete older sessions, scores, drift, pictures, verdicts, and logs that are in the store."""
    from datetime import date

    from flows.jobs.inputs import today
    from flows.jobs.prune import PruneJob, prune_text
    from flows.jobs.prune import prune as delete_old

    loaded, _ = _load(settings, set_)
    job = PruneJob(loaded, keep_days, date.fromisoformat(today(loaded)), yes)
    found = delete_old(job)
    _print("\n".join([*(str(one.path) for one in found), prune_text(job, found)]))


@app.command
def forget(
    *,
    account: Annotated[str, Parameter(help="The account_id.")],
    reports: Annotated[
        list[Path] | None,
        Parameter(
            negative=(),
            help="Folders with reports (*.html) that go if they name it. Default: where the scores "
            "lie, and `reports` there.",
        ),
    ] = None,
    yes: Yes = False,
    settings: SettingsFile = None,
    set_: Sets = None,
) -> None:
    """Delete an account from store, scores, feedback, profiles, pictures; print a JSON receipt."""
    from flows.jobs.forget import ForgetJob
    from flows.jobs.forget import forget as delete_account

    loaded, _ = _load(settings, set_)
    receipt = delete_account(ForgetJob(loaded, account, tuple(reports or ()), yes))
    _print(receipt.to_json())
    if not yes:
        print_message("only counted: --yes deletes")


@app.command
def health(
    *,
    max_age_h: Annotated[
        float, Parameter(help="The most hours since a daily job's last success.")
    ] = 26.0,
    min_free_gb: Annotated[float, Parameter(help="The least room on each disk, GB.")] = 1.0,
    metrics: Annotated[
        bool, Parameter(negative=(), help="Print Prometheus' text format instead.")
    ] = False,
    settings: SettingsFile = None,
    set_: Sets = None,
    json: AsJson = False,
) -> None:
    """Say when each job last succeeded, on which day, and what is wrong; exit 3 if anything is."""
    from flows.jobs.health import HealthJob, health_json, health_metrics, health_text
    from flows.jobs.health import health as find_health
    from flows.prefect.environment import configured_url, is_healthy, own_url

    loaded, _ = _load(settings, set_)
    named = configured_url(loaded)
    url = named or own_url(loaded.server)
    expects_server = named is not None or loaded.server.home.is_dir()
    found = find_health(
        HealthJob(loaded, url, is_healthy(url), expects_server, max_age_h, min_free_gb)
    )
    text = health_metrics(found) if metrics else health_text(found)
    _print(health_json(found) if json else text)
    if not found.is_healthy:
        raise SystemExit(UNHEALTHY)


@app.command
def serve(*, settings: SettingsFile = None, set_: Sets = None) -> None:
    """Run everything on this machine: server, deployments, worker; SIGTERM or Ctrl-C ends it."""
    from flows.prefect.serve import serve
    from flows.settings import settings_file

    loaded, found = _load(settings, set_)
    serve(loaded, found, settings_file(settings), print_message)


@app.command
def deploy(*, settings: SettingsFile = None, set_: Sets = None) -> None:
    """Register the deployments of flows/prefect.yaml on the Prefect server that is configured."""
    from flows.prefect.deployments import check_server, register
    from flows.prefect.environment import find_url, process_environment
    from flows.settings import settings_file

    loaded, found = _load(settings, set_)
    url, file = check_server(find_url(loaded)), settings_file(settings)
    for name in register(loaded, file, process_environment(loaded, found, url, file)):
        _print(name)


@app.command
def settings(*, settings: SettingsFile = None, set_: Sets = None, json: AsJson = False) -> None:
    """Check the settings; print each as TOML with what it is for and where its value comes from.

    What is printed can be used as pointerprint.toml, but passwords are `***`.
    """
    from flows.settings import settings_json, settings_toml

    loaded, found = _load(settings, set_)
    text = json_.dumps(settings_json(loaded, found), indent=2)
    _print(without_secrets(text if json else settings_toml(loaded, found)))


@app.command
def demo(
    *,
    sample_data: Annotated[Path, Parameter(help="The checkout's folder.")] = Path("sample_data"),
    to: Annotated[Path, Parameter(help="A folder for all that is made.")] = Path("out/demo"),
) -> None:
    """Run everything on sample_data/: pictures, training, scores, a report."""
    _prepare()
    from flows.jobs.demo import demo

    _print(demo(sample_data, to, print_epoch))


@app.command
def info(*, json: AsJson = False) -> None:
    """Show what is installed, which devices there are, and what would be used."""
    _prepare()
    from flows.jobs.info import info_text, installation

    found = installation()
    _print(found if json else info_text(found))


@app.command
def completion(shell: Literal["bash", "zsh", "fish"]) -> None:
    """Print a script that lets a shell complete commands and options."""
    _print(app.generate_completion(shell=shell))


def _print(result: object) -> None:
    """Print a result: text and paths as they are, lists and mappings as JSON."""
    is_json = isinstance(result, (dict, list))
    print(json_.dumps(result, indent=2, default=str) if is_json else result, flush=True)


def _columns(text: str | None) -> dict[str, str]:
    from pipeline.readers.common.columns import parse_columns

    return parse_columns(text)


def _require(paths: Sequence[Path], command: str, what: str) -> None:
    """Exit as wrong usage does if no path was named."""
    if not paths:
        print(f"usage: pointerprint {command} {what}...: name at least one", file=sys.stderr)
        raise SystemExit(2)


def _prepare(device: Any = "auto") -> None:
    """Set JAX up, before anything imports it."""
    from model.device import prepare_jax

    prepare_jax(device)


def _load(file: Path | None, sets: Sequence[str] | None) -> "tuple[Settings, FoundSettings]":
    """Return the settings, checked, and where each came from."""
    from flows.settings import check_settings, find_settings

    found = find_settings(file, sets or ())
    return check_settings(found), found


def _start(file: Path | None, sets: Sequence[str] | None) -> "tuple[Settings, FoundSettings]":
    """Return the settings, with logs and JAX set up as they say."""
    from flows.console import set_up_logs

    loaded, found = _load(file, sets)
    set_up_logs(loaded.log.format, loaded.log.level)
    _prepare(loaded.device)
    return loaded, found


def _models(models: Path | None, settings: Path | None) -> "StoragePath":
    from pipeline.storage.paths import as_path

    return as_path(models) if models else _load(settings, ())[0].models


def _champion_or_starter() -> "StoragePath":
    """Return the settings' folder of models if it has a champion, else the starter model."""
    from model.registry import champion_or_starter, is_starter

    models = _models(None, None)
    found = champion_or_starter(models)
    if found is None:
        raise NotFoundError(
            "score",
            f"no --model is named, and {models} has no champion",
            "name a RUN; or `pointerprint train`, then `pointerprint models promote RUN`",
        )
    if is_starter(found):
        print_message(f"scoring with the starter model that ships: {models} has no champion")
    else:
        print_message(f"scoring with the champion of {models}")
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; an error the user can correct is one line, not a traceback."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    quiet = "--quiet" in arguments
    arguments = [argument for argument in arguments if argument != "--quiet"]
    token = QUIET.set(quiet)
    try:
        if len(arguments) == 1 and arguments[0] in NEEDED:
            _require((), arguments[0], NEEDED[arguments[0]])  # before an option that it needs too
        with stoppable(), plain_warnings():
            app(arguments, exit_on_error=False, print_error=True)
    except CycloptsError:
        sys.exit(2)
    except (Stopped, KeyboardInterrupt) as stopped:
        number = signal.SIGTERM if isinstance(stopped, Stopped) else signal.SIGINT
        print(stopped_text(number, arguments), file=sys.stderr)
        sys.exit(SIGNALLED + number)
    except PointerprintError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except BrokenPipeError:  # who reads the result has seen enough: `pointerprint health | head -1`
        sys.stdout = open(os.devnull, "w")  # noqa: PTH123, SIM115 - else Python complains at its end
        sys.exit(SIGNALLED + signal.SIGPIPE)
    finally:
        QUIET.reset(token)
