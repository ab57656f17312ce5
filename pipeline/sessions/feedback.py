"""Keep the labels that people feed back, with their history.

    STORE.feedback/part-<when>-<hash>.parquet       FEEDBACK, one part a file that was fed back

The same beside SCORES, for whoever has no store at hand. Parts are only ever added: of what is
fed back on a session the latest label counts, and `unsure` removes it. `undecided` is no label: its
row keeps a note, and the label before it still counts.
"""

import hashlib
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Bool

from pipeline.errors import DataError, MissingColumnsError, NotFoundError, did_you_mean
from pipeline.readers.common import log_files
from pipeline.readers.common.limits import limits
from pipeline.readers.parquet import MAGIC
from pipeline.schemas import FEEDBACK, check_schema
from pipeline.scores.partitions import open_scores
from pipeline.sessions.labels import csv_rows, without_shield
from pipeline.sessions.sessions import Sessions
from pipeline.sessions.stratified_sample import stratified_sample
from pipeline.storage.paths import StoragePath, as_path, open_parquet
from pipeline.storage.publish import lock, write_parquet
from pipeline.storage.store import known_sessions, load_sessions, session_columns

log = logging.getLogger(__name__)

VERDICT_WORDS: Final[Mapping[str, int | None]] = {
    "fraud": 1,
    "legitimate": 0,
    "unsure": None,
    "undecided": None,
    "1": 1,
    "0": 0,
}
"""What a label may be, and what it comes to."""

UNDECIDED: Final = "undecided"
"""The word for a row that has a note and no label."""

_SHOWN = 5  # that an error or a report names


@dataclass(frozen=True)
class FeedbackReport:
    """What came of a file that was fed back."""

    fraud: int
    legitimate: int
    unsure: int
    notes: int  # without a label
    n_same: int  # rows that repeat the latest label: nothing was added for them
    unknown: tuple[str, ...]  # sessions that aren't there: nothing was added for them either
    guesses: tuple[str, ...]  # what the first unknown one may have been meant to be

    def to_text(self) -> str:
        """Return it in a few lines."""
        n_new = self.fraud + self.legitimate + self.unsure
        lines = [
            f"{n_new:,} labels added: {self.fraud:,} fraud, {self.legitimate:,} legitimate, "
            f"{self.unsure:,} unsure; {self.n_same:,} known before"
        ]
        if self.notes:
            lines.append(f"{self.notes:,} notes without a label added")
        if self.unknown:
            more = f" and {len(self.unknown) - _SHOWN:,} more" if len(self.unknown) > _SHOWN else ""
            meant = f" (did you mean {self.guesses[0]!r}?)" if self.guesses else ""
            shown = ", ".join(map(repr, self.unknown[:_SHOWN]))
            lines.append(f"{len(self.unknown):,} unknown sessions: {shown}{more}{meant}")
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        """Return it as a plain dict."""
        return asdict(self)


def feedback_folder(table: StoragePath) -> StoragePath:
    """Return where the feedback on the sessions of a STORE or SCORES lies: beside it."""
    return as_path(table).with_name(f"{table.name}.feedback")


def add_feedback(table: StoragePath, file: StoragePath, given_at: datetime) -> FeedbackReport:
    """Add what `file` says about sessions of a STORE or SCORES, and say what came of it.

    A row that says what is known is passed over, so a file may be fed back again.
    """
    table, file = as_path(table), as_path(file)
    rows = read_feedback_file(file, given_at)
    known = session_ids(table)
    is_known = np.array([session_id in known for session_id in rows["session_id"]], bool)
    unknown = list(dict.fromkeys(rows["session_id"].to_numpy()[~is_known]))
    if unknown and not is_known.any():
        raise DataError(
            file,
            f"none of its {len(unknown):,} sessions is in {table}, such as {unknown[0]!r}",
            "labels go by session_id",
        )
    with lock(feedback_folder(table)):
        before = read_feedback(table).to_pandas()
        new = _what_is_new(before, rows.loc[is_known])
        if len(new):
            part = pa.Table.from_pandas(new, schema=FEEDBACK, preserve_index=False)
            write_parquet(part, feedback_folder(table) / _part_name(given_at, file))
    given = [label for _, label, _, is_note in _plain(new) if not is_note]
    return FeedbackReport(
        fraud=given.count(1),
        legitimate=given.count(0),
        unsure=given.count(None),
        notes=len(new) - len(given),
        n_same=int(is_known.sum()) - len(new),
        unknown=tuple(unknown),
        guesses=tuple(did_you_mean(unknown[0], known)) if unknown else (),
    )


def _what_is_new(before: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that change a session's latest label or note."""
    given: dict[str, tuple[Any, str | None]] = {}
    is_new = []
    for session_id, label, note, is_note in [*_plain(before), *_plain(rows)]:
        known = given.get(session_id, (UNDECIDED, None))
        now = (known[0] if is_note else label, note)
        is_new.append(now != known)
        given[session_id] = now
    return rows.loc[np.array(is_new[len(before) :], bool)]


def _plain(rows: pd.DataFrame) -> list[list[Any]]:
    """Return session, label, note and whether it's a note alone; missing values are equal."""
    return [
        [None if pd.isna(cell) else cell for cell in row]
        for row in rows[["session_id", "label", "note", "is_note"]].itertuples(index=False)
    ]


def _part_name(given_at: datetime, file: StoragePath) -> str:
    digest = hashlib.sha256(file.read_bytes()).hexdigest()[:16]
    return f"part-{given_at:%Y%m%dT%H%M%S%f}-{digest}.parquet"


def session_ids(table: StoragePath) -> set[str]:
    """Return the ids of the sessions of a STORE or of all days of SCORES."""
    if found := known_sessions(table):
        return found
    try:
        scores = open_scores(table)
    except NotFoundError as error:
        raise NotFoundError(
            table, "there are no sessions here", "`label` takes a STORE or SCORES folder"
        ) from error
    return set(scores.to_table(columns=["session_id"])["session_id"].to_pylist())


def read_feedback(table: StoragePath) -> pa.Table:
    """Return all labels fed back on the sessions of a STORE or SCORES, the latest last."""
    parts = [FEEDBACK.empty_table()]
    for path in sorted(feedback_folder(table).glob("part-*.parquet")):
        with open_parquet(path) as parquet:
            check_schema(parquet.schema_arrow, FEEDBACK, path)
            part = parquet.read()
        if "is_note" not in part.column_names:
            part = part.append_column("is_note", pa.nulls(part.num_rows, pa.bool_()))
        parts.append(part.select(FEEDBACK.names).cast(FEEDBACK))
    return _latest_last(parts)


def _latest_last(parts: Iterable[pa.Table]) -> pa.Table:
    return pa.concat_tables(parts).sort_by([("given_at", "ascending"), ("line", "ascending")])


class Verdict(NamedTuple):
    """What was fed back about a session: its latest label in words, and its latest note."""

    word: str  # fraud, legitimate, unsure; undecided: a note alone
    note: str | None
    given_at: datetime


def latest_verdicts(tables: Iterable[StoragePath]) -> dict[str, Verdict]:
    """Return what was fed back about each session; a note without a label keeps the label."""
    given = _latest_last([FEEDBACK.empty_table(), *map(read_feedback, tables)])
    found: dict[str, Verdict] = {}
    for row in given.to_pylist():
        before = found.get(row["session_id"])
        word = {1: "fraud", 0: "legitimate", None: "unsure"}[row["label"]]
        if row["is_note"]:
            word = before.word if before else UNDECIDED
        found[row["session_id"]] = Verdict(word, row["note"], row["given_at"])
    return found


def latest_labels(tables: Iterable[StoragePath]) -> dict[str, int | None]:
    """Return the latest label of each session that has one; None: unsure."""
    return label_of_verdicts(latest_verdicts(tables))


def label_of_verdicts(verdicts: Mapping[str, Verdict]) -> dict[str, int | None]:
    """Return the label of each session that has one; None: unsure."""
    return {
        name: VERDICT_WORDS[verdict.word]
        for name, verdict in verdicts.items()
        if verdict.word != UNDECIDED
    }


def labelled_sessions(
    stores: Sequence[StoragePath], fed_back: Sequence[StoragePath] = ()
) -> Sessions:
    """Return all sessions of `stores` with events, and the labels that were fed back to them.

    Labels beside the tables in `fed_back` count too. Of sessions with more events than the limit
    `training_events` a `stratified_sample` is taken.
    """
    latest = latest_labels(dict.fromkeys([*stores, *fed_back]))
    chosen = _chosen(stores, latest, limits().training_events)
    return relabelled(load_sessions(stores, chosen).with_events(), latest)


def _chosen(
    stores: Sequence[StoragePath], latest: Mapping[str, int | None], max_events: int
) -> Bool[np.ndarray, " sessions"] | None:
    """Mark the sessions to be loaded; None: all of them."""
    columns = ("session_id", "account_id", "label", "n_events")
    frame = session_columns(stores, columns).to_pandas()
    n_events = int(frame["n_events"].sum())
    if n_events <= max_events:
        return None
    given = zip(frame["session_id"], frame["label"].fillna(-1), strict=True)
    frame["label"] = [latest.get(session_id, label) for session_id, label in given]
    usable = np.flatnonzero((frame["n_events"] > 0) & frame["label"].notna())
    chosen = np.zeros(len(frame), bool)
    chosen[usable[stratified_sample(frame.iloc[usable], max_events)]] = True
    log.warning(
        "%(n_chosen)d of %(n_sessions)d sessions are taken, of every account and label alike: all "
        "have %(n_events)d events, POINTERPRINT_LIMIT_TRAINING_EVENTS is %(max_events)d",
        {
            "n_sessions": len(frame),
            "n_events": n_events,
            "n_chosen": int(chosen.sum()),
            "max_events": max_events,
        },
    )
    return chosen


def relabelled(sessions: Sessions, latest: Mapping[str, int | None]) -> Sessions:
    """Return sessions with their latest labels.

    One that people were unsure of is left out: it is an example of neither kind.
    """
    if not latest:
        return sessions
    given = zip(sessions.session_id, sessions.label.tolist(), strict=True)
    labels = [latest.get(session_id, label) for session_id, label in given]
    sure = np.array([label is not None for label in labels], bool)
    label = np.array([-1 if label is None else label for label in labels], np.int8)
    return replace(sessions, label=label).take(sure)


def read_feedback_file(path: StoragePath, given_at: datetime) -> pd.DataFrame:
    """Return the rows of a CSV or Parquet `session_id,label[,note]` as `FEEDBACK` has them."""
    if not path.is_file():
        raise NotFoundError(path, "there is no such file")
    rows = _read_parquet(path) if log_files.read_head(path).startswith(MAGIC) else _read_csv(path)
    missing = [name for name in ("session_id", "label") if name not in rows]
    if missing:
        raise MissingColumnsError(path, missing, rows.columns)
    words = rows["label"].str.strip().str.lower()
    wrong = rows.index[~words.isin(VERDICT_WORDS)]
    if len(wrong):
        row = wrong[0]
        raise DataError(
            path,
            f"line {rows['line'][row]}: label {rows['label'][row]!r} of {rows['session_id'][row]!r}"
            f" ({len(wrong)} such rows)",
            f"one of {', '.join(VERDICT_WORDS)}",
        )
    if "" in set(rows["session_id"]):
        raise DataError(path, "a row has no session_id")
    notes = rows["note"] if "note" in rows else pd.Series("", rows.index)
    is_note = words == UNDECIDED
    if (empty := rows.index[is_note & (notes == "")]).size:
        row = empty[0]
        raise DataError(
            path,
            f"line {rows['line'][row]}: {rows['session_id'][row]!r} is undecided and has no note",
            "leave the row out",
        )
    label = [VERDICT_WORDS[word] for word in words]
    return pd.DataFrame(
        {
            "session_id": rows["session_id"],
            "label": pd.array(label, "Int8"),
            "note": notes.where(notes != "", None).astype(object),
            "given_at": pd.Timestamp(given_at),
            "source_file": path.name,
            "line": rows["line"].astype(np.int64),
            "is_note": is_note.to_numpy(bool),
        }
    )


def _read_csv(path: StoragePath) -> pd.DataFrame:
    names, rows = csv_rows(path)
    found = pd.DataFrame([cells for _, cells in rows], columns=pd.Index(names), dtype=str)
    for name in set(names) & {"session_id", "note"}:
        cells = pa.chunked_array([pa.array(found[name], pa.string())])
        found[name] = without_shield(cells).to_pylist()
    return found.assign(line=[line for line, _ in rows])


def _read_parquet(path: StoragePath) -> pd.DataFrame:
    table = pq.read_table(pa.BufferReader(log_files.read_unpacked(path)))
    found = pd.DataFrame(
        {name: _texts(table[name]) for name in table.column_names if name != "line"}
    )
    return found.assign(line=np.arange(1, len(found) + 1))


def _texts(column: pa.ChunkedArray) -> pd.Series:
    """Return a column as text; nothing is the empty text."""
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.int8())
    return column.cast(pa.string()).fill_null("").to_pandas()
