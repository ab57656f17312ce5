"""Make a page for analysts: a day of SCORES with the paths, prints and reasons of its sessions."""

import json
import logging
from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from flows.jobs.inputs import each_sessions, label_by_session
from flows.jobs.progress import Progress, counted
from model.attribution import Attribution, attribute, panel_words, print_reasons
from model.case_views import case_prints, highest_windows, raised_by_session
from model.config import RunConfig
from model.metrics import curves_json
from model.registry import has_starter, starter_run
from model.run import TrainedModel, input_config, load_model
from pipeline.errors import ConfigError, NotFoundError
from pipeline.ingest.parse import NO_COLUMNS
from pipeline.readers import AUTO
from pipeline.report.cases import (
    Gathered,
    account_histories,
    case_blocks,
    code_words,
    gather,
    measured_reasons,
    queue_row,
)
from pipeline.report.page import day_json, page_html, shown_events
from pipeline.schemas import SCORES
from pipeline.scores.partitions import open_scores
from pipeline.scores.starter import starter_text
from pipeline.sessions.feedback import Verdict, label_of_verdicts, latest_verdicts
from pipeline.sessions.sessions import Sessions
from pipeline.storage.paths import StoragePath, as_path
from pipeline.storage.publish import MANIFEST, replacing
from pipeline.storage.store import check_date
from rasterize.palette import BACKGROUND, SCALE
from rasterize.print_json import panels_json, print_json

log = logging.getLogger(__name__)

PAGE_CASES: Final = 1000
ATTRIBUTED_EVENTS: Final = 500_000
Manifest = Mapping[str, Any]


@dataclass(frozen=True)
class ReportJob:
    """Which day of which SCORES to show.

    Attributes:
        scores: The SCORES.
        to: The page, HTML; beyond 1,000 cases, more beside it.
        date: Day of the partition, YYYY-MM-DD; None: the last one scored.
        labels: session_id,label: shown, and compared with the scores.
        stores: Stores or logs of the sessions; none: where they were scored from.
        model: The RUN, whose view is drawn; None: where it was when it scored.
        limit: Cases, at most.
    """

    scores: StoragePath
    to: StoragePath
    date: str | None = None
    labels: StoragePath | None = None
    stores: Sequence[StoragePath] = ()
    model: StoragePath | None = None
    limit: int = 10 * PAGE_CASES


def report(job: ReportJob) -> Generator[Progress, None, list[StoragePath]]:
    """Write the cases of a day, highest score first, and return the pages."""
    if job.limit < 1:
        raise ConfigError("report", f"limit is {job.limit}", "1 or more cases")
    scores, to = as_path(job.scores), as_path(job.to)
    everything = open_scores(scores)
    days = everything.to_table(columns=["run_date", "band", "is_flagged", "fraud_score"])
    day = _choose_day(scores, days["run_date"].unique().to_pylist(), job.date)
    table = _highest_first(everything.to_table(filter=ds.field("run_date") == day))
    cases = table.slice(0, job.limit).select(SCORES.names)
    manifests = _manifests(scores, day)
    sources = _sources(scores, manifests, job.stores)
    parts = (
        part for path, format, columns in sources for part in each_sessions([path], format, columns)
    )
    gathered = gather(parts, cases, _suspected(everything))
    sessions = gathered.sessions()
    verdicts = latest_verdicts([scores, *(path for path, *_ in sources)])
    labels = label_by_session(job.labels) if job.labels else {}
    known = gathered.labels | label_of_verdicts(verdicts) | labels
    histories = account_histories(_of_accounts(everything, cases, day), known, verdicts)
    n_missing = cases.num_rows - (0 if sessions is None else len(sessions))
    if n_missing:
        log.warning("%d of %d cases: their path wasn't found", n_missing, cases.num_rows)
    folder = _run_folder(manifests[0], job.model)
    model = None if folder is None else load_model(folder)
    views = {}
    if sessions is not None:
        views = yield from _views(sessions, cases, model)
    summary = {
        "day": day_json(days.to_pandas(), day),
        "agreement": _agreement(table, known),
        "fed_back": _fed_back(verdicts),
        "starter": starter_text(manifests[0]) or None,
        "n_cases": cases.num_rows,
        "n_scored": table.num_rows,
        "n_missing": n_missing,
        "scale": SCALE.tolist(),
        "speeds": _speeds(model),
        "background": list(BACKGROUND),
        "codes": code_words() | panel_words(),
        **_panels(model),
    }
    score_of = _scores_beside(everything, gathered)
    rows = cases.to_pylist()
    pages = _page_paths(to, len(rows))
    for i, page in enumerate(pages):
        shown = rows[i * PAGE_CASES : (i + 1) * PAGE_CASES]
        content = summary | {
            "page": i,
            "pages": [path.name for path in pages],
            "queue": [queue_row(row, known, verdicts, histories) for row in shown],
        }
        blocks = case_blocks(shown, gathered, sessions, views, score_of, histories)
        with replacing(page) as unfinished:
            unfinished.write_text(page_html(content, blocks), encoding="utf-8")
    return pages


def _choose_day(scores: StoragePath, days: Sequence[str], date: str | None) -> str:
    """Return the day that was asked for, or the last; raise if it isn't there."""
    if date is None:
        return max(days)
    if check_date(date) not in days:
        hint = f"there are {', '.join(sorted(days)[-5:])}"
        raise NotFoundError(scores, f"no scores of {date}", hint)
    return date


def _highest_first(table: pa.Table) -> pa.Table:
    """Sort by score; those that abstain come last."""
    return table.sort_by([("fraud_score", "descending"), ("session_id", "ascending")])


def _manifests(scores: StoragePath, day: str) -> list[Manifest]:
    """Return the manifest of a day, then those of the others, the latest first."""
    paths = sorted(scores.glob(f"run_date=*/{MANIFEST}"), reverse=True)
    paths.sort(key=lambda path: path.parent.name != f"run_date={day}")
    return [json.loads(path.read_text()) for path in paths] or [{}]


def _sources(
    scores: StoragePath, manifests: Sequence[Manifest], stores: Sequence[StoragePath]
) -> list[tuple[StoragePath, str, Mapping[str, str]]]:
    """Return path, format and columns of `stores`, or of what the manifests say was scored.

    The earlier days' are among them: sessions to compare a case with are there.
    """
    if stores:
        return [(as_path(path), AUTO, NO_COLUMNS) for path in stores]
    sources: dict[StoragePath, tuple[str, Mapping[str, str]]] = {}
    for manifest in manifests:
        read_from = manifest.get("read_from", {"paths": []})
        for path in map(as_path, read_from["paths"]):
            sources.setdefault(path, (read_from["format"], read_from["columns"]))
    here = [(path, *how) for path, how in sources.items() if path.exists()]
    if not here:
        gone = f"{next(iter(sources))} isn't there" if sources else "it isn't known where"
        raise NotFoundError(
            scores,
            f"the sessions that were scored are not found: {gone}",
            "say where they are: --store STORE, or the raw logs",
        )
    return here


def _of_accounts(scores: ds.Dataset, cases: pa.Table, day: str) -> pa.Table:
    """Return how the accounts of the cases were scored, up to that day."""
    accounts = cases["account_id"].combine_chunks().unique().drop_null()
    columns = ["session_id", "account_id", "started_at", "fraud_score", "band", "is_flagged"]
    is_theirs = ds.field("account_id").isin(accounts) & (ds.field("run_date") <= day)
    return scores.to_table([*columns, "run_date"], is_theirs)


def _fed_back(verdicts: Mapping[str, Verdict]) -> dict[str, Any] | None:
    """Return how many sessions of which verdict were fed back so far, and when the last was."""
    if not verdicts:
        return None
    counts = Counter(verdict.word for verdict in verdicts.values())
    return {"counts": counts, "last": f"{max(one.given_at for one in verdicts.values()):%Y-%m-%d}"}


def _speeds(model: TrainedModel | None) -> list[float]:
    """Return the speeds, px/s, at the ends of the scale that pictures are drawn with."""
    canvas = (RunConfig() if model is None else model.config).canvas
    return [canvas.slow_px_s, canvas.fast_px_s]


def _suspected(scores: ds.Dataset) -> set[str | None]:
    """Return the sessions of any day that aren't in band `low`."""
    is_suspect = ds.field("band").isin(["medium", "high"])
    return set(scores.to_table(["session_id"], is_suspect)["session_id"].to_pylist())


def _run_folder(manifest: Manifest, run: StoragePath | None) -> StoragePath | None:
    """Return the folder of the model, as named or as it was when it scored; None: not there."""
    folder = as_path(manifest.get("run", "nowhere") if run is None else run)
    if run is not None or (folder / "config.json").is_file():
        return folder
    if manifest.get("is_starter") and has_starter():  # pointerprint was installed elsewhere then
        return starter_run()
    log.warning(
        "the model's folder isn't there: pictures have default settings, and reasons lack what "
        "was measured (--model RUN says where it is)"
    )
    return None


def _views(
    sessions: Sessions,
    cases: pa.Table,
    model: TrainedModel | None,
) -> Generator[Progress, None, dict[str, dict[str, Any]]]:
    """Return each session's picture and print, what raised its score, and its reasons."""
    config = RunConfig() if model is None else model.config
    inputs = input_config(config)
    worst_ms = _worst_ms(sessions, cases)
    drawing = highest_windows(sessions, worst_ms, inputs, config.canvas)
    views = yield from counted(drawing, "cases")
    suspects, weights = _what_raised(sessions, cases, model)
    by_name = dict(zip(map(str, suspects.session_id), weights.cells, strict=True))
    shown = {
        str(name): shown_events(sessions, i, None if np.isnan(at) else int(at))
        for i, (name, at) in enumerate(zip(sessions.session_id, worst_ms, strict=True))
    }
    for name, found in case_prints(inputs, sessions, model, by_name, shown).items():
        views.setdefault(name, {})["print"] = found
    for name, runs in raised_by_session(weights, suspects).items():
        views.setdefault(name, {})["weights"] = runs
    if model is not None:
        for name, reasons in _reasons(sessions, cases, model).items():
            views.setdefault(name, {})["reasons"] = reasons
    return views


def _panels(model: TrainedModel | None) -> dict[str, Any]:
    """Return the panels of the page's prints, and the people's print to hold them against."""
    inputs = input_config(RunConfig()) if model is None else model.scorer.inputs
    panels, people = inputs.panels, None if model is None else model.people
    return {
        "panels": panels_json(panels.names, panels.cells),
        "cells": panels.cells,
        "reference_print": None if people is None else print_json(people.mean_images[0]),
    }


def _reasons(
    sessions: Sessions, cases: pa.Table, model: TrainedModel
) -> dict[str, list[dict[str, Any]]]:
    """Return what was measured for each reason of SCORES, and what a print's reasons say."""
    found: dict[str, list[dict[str, Any]]] = {}
    if model.reference_ranges is not None:
        flagged = cases.filter(pc.field("is_flagged"))["session_id"].to_numpy(zero_copy_only=False)
        is_flagged = np.isin(sessions.session_id.astype(str), flagged.astype(str))
        found = measured_reasons(sessions, model.reference_ranges, model.scorer.ranges, is_flagged)
    rows = zip(cases["session_id"].to_pylist(), cases["reasons"].to_pylist(), strict=True)
    by_print = {name for name, codes in rows if any(code in panel_words() for code in codes)}
    chosen = sessions.take(np.isin(sessions.session_id.astype(str), sorted(by_print)))
    for name, reasons in zip(chosen.session_id, print_reasons(model, chosen), strict=True):
        by_panel = [{"code": reason.code, "text": reason.words} for reason in reasons]
        found[str(name)] = found.get(str(name), []) + by_panel
    return found


def _what_raised(
    sessions: Sessions, cases: pa.Table, model: TrainedModel | None
) -> tuple[Sessions, Attribution]:
    """Return the sessions in band medium or high, the highest first, and what raised their scores.

    Beyond `ATTRIBUTED_EVENTS` the model isn't asked, nor one that isn't the one that scored.
    """
    nobody = sessions.take(np.zeros(0, np.int64))
    nothing = Attribution(np.zeros((0, 1, 1, 1), np.float32), np.zeros(0, np.float32))
    if model is None:
        return nobody, nothing
    if set(cases["model_id"].to_pylist()) - {model.model_id}:
        words = "the model %s is not the one that scored: what raised the scores isn't shown"
        log.warning(words, model.model_id)
        return nobody, nothing
    is_suspect = pc.field("band").isin(["medium", "high"])
    row = {name: i for i, name in enumerate(sessions.session_id)}
    suspects = cases.filter(is_suspect)["session_id"].to_pylist()
    order = np.array([row[name] for name in suspects if name in row], np.int64)
    order = order[np.cumsum(sessions.n_events[order]) <= ATTRIBUTED_EVENTS]
    chosen = sessions.take(order)
    return chosen, attribute(model, chosen)


def _worst_ms(sessions: Sessions, cases: pa.Table) -> np.ndarray:
    """Return where each session's highest window starts; NaN: it has none."""
    worst = cases["worst_window_ms"].to_pylist()
    by_id = dict(zip(cases["session_id"].to_pylist(), worst, strict=True))
    return np.array([by_id[name] for name in sessions.session_id], np.float64)


def _agreement(table: pa.Table, known: Mapping[str, int | None]) -> dict[str, Any]:
    """Return how the day's scores agree with the labels that are known."""
    scored = table.filter(ds.field("fraud_score").is_valid())
    given = [known.get(name) for name in scored["session_id"].to_pylist()]
    label = np.array([-1 if one is None else one for one in given], np.int8)
    score = scored["fraud_score"].to_numpy().astype(np.float64)
    return curves_json(score[label >= 0], label[label >= 0])


def _scores_beside(scores: ds.Dataset, gathered: Gathered) -> dict[str, float | None]:
    """Return the scores of sessions that are shown beside a case."""
    names = {session["id"] for own in gathered.reference.values() for session in own}
    beside = pa.array(sorted(names | set(gathered.originals)), pa.string())
    chosen = ds.field("session_id").isin(beside)
    found = scores.to_table(["session_id", "fraud_score"], chosen)
    return dict(zip(found["session_id"].to_pylist(), found["fraud_score"].to_pylist(), strict=True))


def _page_paths(to: StoragePath, n_cases: int) -> list[StoragePath]:
    """Return the page, and those beside it that the cases need."""
    n_pages = max(-(-n_cases // PAGE_CASES), 1)
    return [to, *(to.with_name(f"{to.stem}-{i + 1}{to.suffix}") for i in range(1, n_pages))]
