"""Commands about an installation: its settings, models, labels, days and deployments."""

import json as json_
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

if TYPE_CHECKING:  # each takes time to import
    from flows.site import Site
    from flows.site_reading import Found

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
    from pipeline.feedback import feedback_folder

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

    folder, model_id = _models(models, settings), model
    if (Path(model) / "config.json").is_file():
        from model.device import prepare_jax

        prepare_jax()
        from model.run import load_model

        model_id = load_model(Path(model)).model_id
        add_run(folder, Path(model), model_id)
    promote(folder, model_id, why)
    print(folder / model_id)


@models_app.command
def rollback(*, models: Models = None, settings: SettingsFile = None) -> None:
    """Make the model that was champion before champion again."""
    from model.registry import rollback

    folder = _models(models, settings)
    print(folder / rollback(folder).model_id)


def site(*, settings: SettingsFile = None, set_: Sets = None, json: AsJson = False) -> None:
    """Check the installation's settings, and print them all as the TOML they may come from."""
    from flows.site_reading import as_json, as_toml

    checked, found = read_site(settings, set_)
    _print_json(as_json(checked)) if json else print(as_toml(checked, found))


def read_site(file: Path | None, sets: Sequence[str] | None) -> "tuple[Site, Found]":
    """Return the settings, checked, and who set them."""
    from flows.site_reading import check_settings, find_settings

    found = find_settings(file, sets or ())
    return check_settings(found), found


def _models(models: Path | None, settings: Path | None) -> Path:
    return models or read_site(settings, ())[0].models


def _print_json(content: object) -> None:
    print(json_.dumps(content, indent=2, default=str))


def tell(text: str) -> None:
    """Say on stderr what is being done; stdout is for the result."""
    print(text, file=sys.stderr, flush=True)


def add_to(app: App) -> None:
    """Add these commands to the command line."""
    app.command(models_app)
    for command in (label, site):
        app.command(command)
