"""A day's scores in, a picture of its most suspicious sessions out."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from flows.jobs.inputs import each_sessions
from model.run import input_config, load_config
from pipeline.scores.partitions import read_partition
from pipeline.sessions.sessions import Sessions, concatenate_sessions
from pipeline.sessions.windows import cut_windows, pad_windows
from pipeline.storage.paths import StoragePath
from pipeline.storage.publish import replacing
from rasterize.picture import contact_sheet, draw_pictures

_COLUMNS = [
    *("session_id", "account_id", "fraud_score", "band", "is_flagged", "reasons"),
    *("n_events", "worst_window_ms"),
]


def top_scores(partition: StoragePath, n: int = 20) -> pd.DataFrame:
    """Return the rows of a partition with the highest scores, highest first."""
    rows = read_partition(partition).select(_COLUMNS).to_pandas().dropna(subset="fraud_score")
    return rows.sort_values("fraud_score", ascending=False, kind="stable").head(n)


def top_sheet(
    partition: StoragePath,
    sources: Sequence[StoragePath],
    run: StoragePath,
    to: StoragePath,
    n: int = 12,
) -> StoragePath | None:
    """Draw the highest window of each of the `n` highest scores; None: there is nothing to draw."""
    top = top_scores(partition, n)
    sessions = _find(each_sessions(sources), top["session_id"].tolist())
    if sessions is None:
        return None
    config = load_config(run)
    window = input_config(config).window
    windows = cut_windows(sessions, window)
    start_ms = sessions.t_us[windows.start] // 1000
    worst_ms = top.set_index("session_id")["worst_window_ms"].to_dict()
    wanted_ms = np.array([worst_ms[name] for name in sessions.session_id], np.int64)
    # The nearest start: the network's windows are of the standardised session.
    far_ms = np.abs(start_ms - wanted_ms[windows.session])
    order = np.lexsort((far_ms, windows.session))
    windows = windows.take(order[np.unique(windows.session[order], return_index=True)[1]])
    if not len(windows):
        return None
    points = pad_windows(sessions, windows, window.max_events)
    score = top.set_index("session_id")["fraud_score"]
    captions = [
        f"{score[sessions.session_id[i]]:.3f} {sessions.session_id[i]}" for i in windows.session
    ]
    sheet = contact_sheet(draw_pictures(points, config.canvas), captions, config.canvas)
    with replacing(to) as unfinished:
        sheet.save(unfinished, format="PNG")
    return to


def _find(groups: Iterator[Sessions], names: Sequence[str]) -> Sessions | None:
    """Return the sessions of these names, in their order; None: none is there."""
    found = []
    for sessions in groups:
        is_wanted = np.isin(sessions.session_id.astype(str), names)
        found += [sessions.take(is_wanted)] if is_wanted.any() else []
    if not found:
        return None
    sessions = concatenate_sessions(found)
    place = {name: i for i, name in enumerate(names)}
    return sessions.take(np.argsort([place[name] for name in sessions.session_id]))
