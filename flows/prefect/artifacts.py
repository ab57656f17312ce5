"""Show on Prefect's page of a run: top scores, pictures, a summary, progress."""

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, cast
from uuid import UUID

import httpx
import pyarrow as pa
from prefect.artifacts import (
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)

from flows.jobs.progress import Progress
from flows.settings import Settings
from pipeline.scores.starter import starter_text
from pipeline.storage.paths import StoragePath, as_path

if TYPE_CHECKING:  # it would load JAX before it is set up
    from flows.jobs.adapt import AdaptedChampion

log = logging.getLogger(__name__)

_TOP: Final = 20
_PICTURE_BYTES: Final = 300_000  # in Prefect's database, each day
_NAME: Final = 60  # characters of an account's name
_STEP: Final = 0.05  # of the whole: so often progress is sent, not for every session


def progress_artifact(what: str) -> Callable[[Progress], None]:
    """Return what a job calls with how much is done, shown as a bar on the run's page.

    The work goes on if Prefect's server doesn't answer any more: only the bar stands still.
    """
    artifact = cast(UUID, create_progress_artifact(0.0, description=what))  # as called from a task
    shown, answers = 0.0, True

    def show(now: Progress) -> None:
        nonlocal shown, answers
        share = now.done / now.total if now.total else 0.0
        if answers and share >= min(shown + _STEP, 1.0) > shown:
            shown = share
            try:
                update_progress_artifact(artifact, 100 * share)
            except httpx.HTTPError as error:
                answers = False
                log.warning(
                    "Prefect's server doesn't take the progress, the work goes on: %s", error
                )

    return show


def show_day(settings: Settings, day: str, partition: StoragePath) -> None:
    """Show a day's top scores as a table, and its counts and the highest scores' pictures.

    The picture itself is on the page: browsers follow no link from it to a file.
    """
    from flows.jobs.days import day_sources
    from flows.jobs.draw import top_scores, top_sheet
    from pipeline.scores.partitions import read_manifest
    from rasterize.picture import bounded_uri

    manifest = read_manifest(partition)
    top = top_scores(partition, _TOP)
    create_table_artifact(
        [_plain(row) for row in top.to_dict("records")],
        key="top-scores",
        description=f"The {len(top)} highest scores of {day}",
    )
    to = partition.parent.with_name(f"{partition.parent.name}.pictures") / f"{partition.name}.png"
    sheet = top_sheet(partition, day_sources(settings, day), as_path(manifest["run"]), to)
    summary = day_summary(day, manifest, partition, sheet)
    if sheet:
        summary += f"\n![The highest scores]({bounded_uri(sheet, _PICTURE_BYTES)})\n"
    create_markdown_artifact(summary, key="day-summary", description=f"Scores of {day}")


def day_summary(
    day: str, manifest: dict[str, Any], partition: StoragePath, sheet: StoragePath | None
) -> str:
    """Return the summary of a scored day, as Markdown."""
    n = manifest["n_sessions"]
    rows = [
        ("sessions", f"{n:,}"),
        ("flagged", f"{manifest['n_flagged']:,}{_of(manifest['n_flagged'], n)}"),
        ("abstained", f"{manifest['n_abstained']:,}{_of(manifest['n_abstained'], n)}"),
        *((f"- {reason}", f"{count:,}") for reason, count in manifest["abstained"].items()),
        ("accounts that abstain unusually often", ", ".join(_abstaining(manifest)) or "none"),
        ("for review", f"{manifest['n_review']:,}{_of(manifest['n_review'], n)}"),
        ("replays of other sessions", f"{manifest['n_replays']:,}"),
        ("threshold", f"{manifest['threshold']:.4f}"),
        ("model", f"`{manifest['model_id']}`"),
        ("scores", f"`{partition}`"),
        ("pictures of the highest", f"`{sheet}`" if sheet else "none"),
    ]
    if text := starter_text(manifest):
        rows.insert(0, ("starter", text))
    table = "\n".join(f"| {name} | {value} |" for name, value in rows)
    return f"# Scores of {day}\n\n| | |\n|---|---|\n{table}\n"


def _abstaining(manifest: dict[str, Any]) -> list[str]:
    return [
        f"{_as_code(row['account_id'])} ({row['n_abstained']:,} of {row['n_sessions']:,})"
        for row in manifest["abstaining_accounts"][:_TOP]
    ]


def _as_code(name: str) -> str:
    """Return a name from a log as a word of Markdown that ends neither itself nor its cell."""
    return f"`{name[:_NAME].replace('`', chr(39)).replace('|', '/')}`"


def show_drift(drift: pa.Table, day: str, partition: StoragePath) -> None:
    """Show a day's changes as a table and in words."""
    from flows.jobs.monitor import drift_text

    rows = drift.drop_columns(["model_id", "checked_at"]).to_pylist()
    create_table_artifact(
        [_plain(row) for row in rows], key="drift", description=f"{day} beside the reference"
    )
    create_markdown_artifact(
        f"# Drift on {day}\n\n```\n{drift_text(drift)}\n```\n\nTable: `{partition}`\n",
        key="drift-summary",
        description=f"{day} beside the reference",
    )


def show_adaptation(found: "AdaptedChampion", day: str) -> None:
    """Show what became of the champion's level, and of each recorder that it doesn't cover."""
    outcome = "a new champion" if found.run else "nothing changed"
    lines = [f"# Level as of {day}: {outcome}", "", f"{found.why}.", ""]
    if found.adaptation is not None:
        lines += ["```", found.adaptation.to_text(), "```", ""]
    lines += [f"Champion: `{found.champion}`"]
    if found.run:
        lines += ["", "`pointerprint models rollback` brings the one before back."]
    create_markdown_artifact(
        "\n".join(lines) + "\n", key="adapt", description=f"{day}: {outcome}: {found.why}"[:200]
    )


def _of(part: int, n: int) -> str:
    return f" ({part / n:.1%})" if n else ""


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row as JSON can hold it, with numbers that fit a table."""
    return {name: _cell(value) for name, value in row.items()}


def _cell(value: Any) -> Any:
    if hasattr(value, "tolist"):  # a number or an array of NumPy's
        value = value.tolist()
    if isinstance(value, float):
        return round(value, 4) if value == value else None
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value))
    return value if isinstance(value, (int, bool)) or value is None else str(value)
