"""Commands about an installation: its settings, models, labels, days and deployments."""

import json as json_
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

from cyclopts import App, Parameter

from pipeline.storage.paths import StoragePath

if TYPE_CHECKING:  # each takes time to import
    from flows.settings import Found, Settings

AsJson = Annotated[bool, Parameter(negative=(), help="Print JSON instead of a table.")]
SettingsFile = Annotated[
    Path | None, Parameter(help="The installation's TOML; default: pointerprint.toml, if there.")
]
Sets = Annotated[
    list[str] | None,
    Parameter(name="--set", negative=(), help="Override a setting: `--set store=/srv/store`."),
]
Models = Annotated[
    Path | None, Parameter(help="The folder of models; default: the settings' `models`.")
]

STRONG_DRIFT: Final = 3
"""The exit code of `monitor` after a strong change."""

models_app = App(name="models", help="List trained models, and say which one scores.")


def label(
    table: Annotated[Path, Parameter(help="The STORE or SCORES whose sessions were looked at.")],
    *,
    from_: Annotated[
        Path, Parameter(name="--from", help="session_id,label[,note]; 1, 0, fraud, legitimate...")
    ],
    json: AsJson = False,
) -> None:
    """Feed labels back: the latest counts, `unsure` takes one away, all are kept."""
    from flows.jobs.label import label as job
    from pipeline.sessions.feedback import feedback_folder

    report = job(table, from_)
    _print_json(report.to_json()) if json else print(
        f"{report.to_text()}\n{feedback_folder(table)}"
    )


@models_app.command(name="list")
def list_(*, models: Models = None, settings: SettingsFile = None, json: AsJson = False) -> None:
    """Show all models with their AUC on held-out sessions; `*` marks the champion."""
    from model.registry import list_models

    entries = list(list_models(_models(models, settings)))
    if json:
        _print_json([asdict(entry) for entry in entries])
        return
    print(f"  {'model':<16}  {'task':<5}  {'trained (UTC)':<19}  ROC AUC, held out")
    for entry in entries:
        auc = "-"
        if entry.roc_auc is not None:
            auc = f"{entry.roc_auc:.3f} [{entry.roc_auc_low:.3f}, {entry.roc_auc_high:.3f}]"
        mark = "*" if entry.is_champion else " "
        print(f"{mark} {entry.model_id:<16}  {entry.task:<5}  {entry.trained_at[:19]}  {auc}")


@models_app.command
def promote(
    model: Annotated[str, Parameter(help="A model's id, or a RUN to add to the models first.")],
    *,
    models: Models = None,
    settings: SettingsFile = None,
    why: Annotated[str, Parameter(help="A word for the record.")] = "by hand",
) -> None:
    """Make a model the champion: the one that scores."""
    from model.registry import add_run, promote
    from pipeline.storage.paths import as_path

    folder, model_id, run = _models(models, settings), model, as_path(model)
    if (run / "config.json").is_file():
        from model.device import prepare_jax

        prepare_jax()
        from model.run import load_model

        model_id = load_model(run).model_id
        add_run(folder, run, model_id)
    promote(folder, model_id, why)
    print(folder / model_id)


@models_app.command
def rollback(*, models: Models = None, settings: SettingsFile = None) -> None:
    """Make the model that was champion before champion again."""
    from model.registry import rollback

    folder = _models(models, settings)
    print(folder / rollback(folder).model_id)


def site(*, settings: SettingsFile = None, set_: Sets = None, json: AsJson = False) -> None:
    """Check the installation's settings, and print them all as TOML; passwords are `***`."""
    from flows.settings import as_json, as_toml
    from pipeline.errors import without_secrets

    checked, found = read_site(settings, set_)
    text = json_.dumps(as_json(checked), indent=2) if json else as_toml(checked, found)
    print(without_secrets(text))


def monitor(
    *,
    date: Annotated[str | None, Parameter(help="YYYY-MM-DD; default: today, UTC.")] = None,
    settings: SettingsFile = None,
    set_: Sets = None,
    json: AsJson = False,
) -> None:
    """Compare a day's sessions and scores with what the model knows; exit 3 on strong drift."""
    site, _ = start_site(settings, set_)
    from flows.jobs.days import monitor_day
    from flows.jobs.inputs import today
    from flows.jobs.monitor import drift_text, read_drift
    from pipeline.monitoring.drift import strongest

    partition = monitor_day(site, date or today())
    found = read_drift(partition)
    _print_json(found.to_pylist()) if json else print(f"{drift_text(found)}\n{partition}")
    if strongest(found) == "strong":
        raise SystemExit(STRONG_DRIFT)


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
    """Do days again, or those that are missing: by the server if one is there, else here.

    With a server each day and model is one run, however often it is asked for.
    """
    site, _ = start_site(settings, set_)
    from flows.prefect.backfill import backfill_here, backfill_there, missing_days
    from flows.prefect.environment import find_url

    days = missing_days(site, start, end, only_missing, what)
    url = find_url(site)
    tell(f"{len(days)} days to {what}, {'by ' + url if url else 'here: no server was found'}")
    if url is None:
        for partition in backfill_here(site, days, what, tell):
            print(partition)
        return
    runs = backfill_there(site, days, what, url, wait_s, tell)
    for run in runs:
        print(f"{run.day} {run.run_id} {run.state.lower()}")
    if wait_s and any(run.state != "Completed" for run in runs):
        raise SystemExit(1)


def deploy(*, settings: SettingsFile = None, set_: Sets = None) -> None:
    """Register the deployments of flows/prefect.yaml on the Prefect server that is configured."""
    from flows.prefect.deployments import check_server, register
    from flows.prefect.environment import find_url, process_environment

    site, found = read_site(settings, set_)
    url = check_server(find_url(site))
    file = _file_of(settings)
    for name in register(site, file, process_environment(site, found, url, file)):
        print(name)


def serve(*, settings: SettingsFile = None, set_: Sets = None) -> None:
    """Run everything on this machine: server, deployments, worker; SIGTERM or Ctrl-C ends it."""
    from flows.prefect.serve import serve as run

    site, found = read_site(settings, set_)
    run(site, found, _file_of(settings), tell)


def start_site(file: Path | None, sets: Sequence[str] | None) -> "tuple[Settings, Found]":
    """Return the settings, with logs and JAX set up as they say."""
    from flows.logs import set_up_logs
    from model.device import prepare_jax

    site, found = read_site(file, sets)
    set_up_logs(site.log.format, site.log.level)
    prepare_jax(site.device)
    return site, found


def read_site(file: Path | None, sets: Sequence[str] | None) -> "tuple[Settings, Found]":
    """Return the settings, checked, and who set them."""
    from flows.settings import check_settings, find_settings

    found = find_settings(file, sets or ())
    return check_settings(found), found


def _file_of(file: Path | None) -> Path | None:
    from flows.settings import settings_file

    return settings_file(file, os.environ)


def _models(models: Path | None, settings: Path | None) -> StoragePath:

    from pipeline.storage.paths import as_path

    return as_path(models) if models else read_site(settings, ())[0].models


def _print_json(content: object) -> None:
    print(json_.dumps(content, indent=2, default=str))


def tell(text: str) -> None:
    """Say on stderr what is being done; stdout is for the result."""
    print(text, file=sys.stderr, flush=True)


def add_to(app: App) -> None:
    """Add these commands to the command line."""
    app.command(models_app)
    for command in (label, site, monitor, backfill, deploy, serve):
        app.command(command)
