"""Every table this project reads or writes, with its units, in one place.

    EVENTS -> SESSIONS (a STORE) -> SCORES
       \\-> QUARANTINE

A schema's metadata names it and its version; a reader refuses a newer version.

To add a column, raise the schema's version and mark the field `since` that version: older files are
read without it. To rename or remove a column, raise the version too, and add a migration, which
gives an older file's columns their new names, where the table is read. What version 0.1.0 wrote
lies in `tests/made_by_0_1_0/` and must stay readable.
"""

from typing import Final

import pyarrow as pa

from pipeline.errors import SchemaError
from pipeline.sessions.kinds import Button as Button
from pipeline.sessions.kinds import Kind as Kind

SYNTHETIC_MARK: Final = "~"
"""A simulated session is named `<session it was made from>~<generator>-<n>`."""

_DICTIONARY = pa.dictionary(pa.int32(), pa.string())

# What a reader gives: a row an event, in the order of the file. Null is "not given" or
# "not readable": cleaning decides what becomes of it.
EVENTS = pa.schema(
    [
        pa.field("session_id", _DICTIONARY),
        pa.field("account_id", _DICTIONARY),
        pa.field("source", _DICTIONARY),  # who wrote it: the format, or the generator's name
        pa.field("t_us", pa.int64()),  # any origin; since 1970 if above 1e14 (year 1973)
        pa.field("x_px", pa.float32()),  # from the left, CSS pixels
        pa.field("y_px", pa.float32()),  # from the top, CSS pixels
        pa.field("kind", pa.int8(), nullable=False),
        pa.field("button", pa.int8(), nullable=False),
        pa.field("label", pa.int8()),
        pa.field("viewport_width", pa.int32()),  # CSS pixels
        pa.field("viewport_height", pa.int32()),
        pa.field("line", pa.int64(), nullable=False),  # of the file, from 1
        # When it was written, by the same clock, where that isn't `t_us`: moves wait for a batch.
        pa.field("written_us", pa.int64()),
    ],
    metadata={"schema": "events", "version": "1"},
)

# A row a session.
SESSIONS = pa.schema(
    [
        pa.field("session_id", pa.string(), nullable=False),
        pa.field("account_id", pa.string()),
        pa.field("source", _DICTIONARY, nullable=False),
        pa.field(
            "recorder", pa.string(), metadata={"since": "2"}
        ),  # what wrote the events down: named, or estimated; null: not known
        pa.field("started_at", pa.timestamp("us", tz="UTC")),  # null: the log has no dates
        pa.field("label", pa.int8()),  # 1 fraud, 0 legitimate
        pa.field("viewport_width", pa.int32()),  # CSS pixels
        pa.field("viewport_height", pa.int32()),
        pa.field("t_us", pa.list_(pa.int64()), nullable=False),  # since the first event
        pa.field("x_px", pa.list_(pa.float32()), nullable=False),
        pa.field("y_px", pa.list_(pa.float32()), nullable=False),
        pa.field("kind", pa.list_(pa.int8()), nullable=False),
        pa.field("button", pa.list_(pa.int8()), nullable=False),
        pa.field("n_events", pa.int32(), nullable=False),
        pa.field("source_file", pa.string(), nullable=False),
        pa.field("source_sha256", pa.string(), nullable=False),
    ],
    metadata={"schema": "sessions", "version": "2"},
)

# A row a rejected row.
QUARANTINE = pa.schema(
    [
        pa.field("source_file", pa.string(), nullable=False),
        pa.field("source_sha256", pa.string(), nullable=False),
        pa.field("line", pa.int64()),  # of the file, from 1; null: the file as a whole
        pa.field("reason", _DICTIONARY, nullable=False),
        pa.field("raw", pa.string()),  # the row as it stands in the file, cut at 1,000 characters
    ],
    metadata={"schema": "quarantine", "version": "1"},
)

# A row a session, unscorable ones too.
SCORES = pa.schema(
    [
        pa.field("session_id", pa.string(), nullable=False),
        pa.field("account_id", pa.string()),
        pa.field("started_at", pa.timestamp("us", tz="UTC")),
        pa.field("fraud_score", pa.float32()),  # calibrated P(fraud), 0 to 1; null: abstained
        pa.field("band", _DICTIONARY, nullable=False),  # low, medium, high, abstained
        pa.field("is_flagged", pa.bool_(), nullable=False),  # fraud_score >= threshold
        pa.field(
            "needs_review", pa.bool_(), metadata={"since": "3"}
        ),  # flagged, or abstained if that is to be reviewed; null: scored before version 3
        pa.field("threshold", pa.float32(), nullable=False),
        pa.field("abstain_reason", pa.string()),
        pa.field("reasons", pa.list_(pa.string()), nullable=False),  # codes, strongest first
        pa.field(
            "replay_of", pa.string(), metadata={"since": "2"}
        ),  # a session it shares most with
        pa.field("recorder", pa.string(), metadata={"since": "4"}),
        pa.field(
            "recorder_known", pa.bool_(), metadata={"since": "4"}
        ),  # whether the model's level was set for it; null: one of the two isn't known
        pa.field("n_events", pa.int32(), nullable=False),
        pa.field("n_windows", pa.int32(), nullable=False),
        pa.field(
            "worst_window_ms", pa.int64()
        ),  # since the first event: the highest window's start
        pa.field("model_id", pa.string(), nullable=False),
        pa.field("run_id", pa.string(), nullable=False),
        pa.field("scored_at", pa.timestamp("us", tz="UTC"), nullable=False),
    ],
    metadata={"schema": "scores", "version": "4"},
)

# A row a sub-session of an enrolled session: what an account's own measures range over.
SUB_SESSION = pa.struct(
    [
        pa.field("n_events", pa.int32(), nullable=False),
        pa.field("interval_ms", pa.float32()),  # median, of the recorder
        pa.field("speed_px_s", pa.float32()),  # null: of too few movements, or clicks
        pa.field("movement_s", pa.float32()),
        pa.field("hold_ms", pa.float32()),
        pa.field("speed_variation", pa.float32()),
        pa.field("start_share", pa.float32()),
        pa.field("speed_peaks_per_s", pa.float32()),
        pa.field("roughness", pa.float32()),
    ]
)

# A row an enrolled session; what is known of an account is all of its rows.
PROFILES = pa.schema(
    [
        pa.field("account_id", pa.string(), nullable=False),
        pa.field("device", pa.string(), nullable=False),  # empty: no device was named
        pa.field("session_id", pa.string(), nullable=False),
        pa.field("n_events", pa.int32(), nullable=False),
        pa.field("n_windows", pa.int32(), nullable=False),
        pa.field("embedding", pa.list_(pa.float32()), nullable=False),  # mean of the windows'
        pa.field("stretches", pa.list_(SUB_SESSION), nullable=False),
    ],
    metadata={"schema": "profiles", "version": "3"},
)

# A row an account and device: the print of its enrolled sessions, rows x columns x panels.
PRINTS = pa.schema(
    [
        pa.field("account_id", pa.string(), nullable=False),
        pa.field("device", pa.string(), nullable=False),
        pa.field("session_ids", pa.list_(pa.string()), nullable=False),  # whose windows these are
        pa.field("n_windows", pa.int32(), nullable=False),
        pa.field("counts", pa.list_(pa.float32()), nullable=False),  # events in each cell
        pa.field("images", pa.list_(pa.float32()), nullable=False),  # sums of the windows' images
    ],
    metadata={"schema": "prints", "version": "1"},
)

# A row a movement of a legitimate session: how densely they lie tells what chance repeats.
REFERENCE = pa.schema(
    [
        pa.field("view", _DICTIONARY, nullable=False),  # same, skewed, pair
        pa.field("signature", pa.list_(pa.float32()), nullable=False),
    ],
    metadata={"schema": "reference", "version": "1"},
)

# A row a reason of a session: computed again from its events whenever somebody looks.
REASONS = pa.schema(
    [
        pa.field("session_id", pa.string(), nullable=False),
        pa.field("code", _DICTIONARY, nullable=False),  # pipeline/reasons/codes.py has the words
        pa.field("measure", _DICTIONARY, metadata={"since": "2"}),  # pipeline/reasons/measures.py
        pa.field("value", pa.float32(), nullable=False),  # in `unit`
        pa.field("usual_low", pa.float32(), nullable=False),  # 98 % of people's sub-sessions lie
        pa.field("usual_high", pa.float32(), nullable=False),  # between; of the account's own 80 %
        pa.field("unit", _DICTIONARY, nullable=False),  # empty: a share or a ratio
        pa.field("strength", pa.float32(), nullable=False),  # 1: just beyond the limit
    ],
    metadata={"schema": "reasons", "version": "2"},
)

LABELS = pa.schema(
    [
        pa.field("session_id", pa.string(), nullable=False),
        pa.field("label", pa.int8(), nullable=False),  # 1 fraud, 0 legitimate
        pa.field("account_id", pa.string()),  # of a fraud, whoever made it: the generator
    ],
    metadata={"schema": "labels", "version": "1"},
)

# A row a label, or a note, that somebody fed back about a session; the latest of each counts.
FEEDBACK = pa.schema(
    [
        pa.field("session_id", pa.string(), nullable=False),
        pa.field("label", pa.int8()),  # 1 fraud, 0 legitimate; null: unsure
        pa.field("note", pa.string()),
        pa.field("given_at", pa.timestamp("us", tz="UTC"), nullable=False),
        pa.field("source_file", pa.string(), nullable=False),
        pa.field("line", pa.int64(), nullable=False),  # of the file, from 1
        # True: a note without a label, and the label before it still counts. Null: a label.
        pa.field("is_note", pa.bool_(), metadata={"since": "2"}),
    ],
    metadata={"schema": "feedback", "version": "2"},
)

# A row a measure of a day and a test: how far it is from the model's reference.
DRIFT = pa.schema(
    [
        pa.field("measure", pa.string(), nullable=False),
        pa.field("unit", pa.string(), nullable=False),
        pa.field("test", _DICTIONARY, nullable=False),  # psi, ks; count: of the sessions alone
        pa.field("value", pa.float64(), nullable=False),  # of the test
        pa.field("by_chance", pa.float64()),  # its mean if nothing has changed
        pa.field("p_value", pa.float64()),  # for all tests of the day together; null: not tested
        pa.field("level", _DICTIONARY, nullable=False),  # ok, some, strong, too_few
        pa.field("day_value", pa.float64()),  # median, or the share of `word`, 0 to 1
        pa.field("reference_value", pa.float64()),
        pa.field("word", pa.string()),  # whose share has changed most
        pa.field("n_sessions", pa.int64(), nullable=False),
        pa.field("n_effective", pa.float64(), nullable=False),  # worth counting apart
        pa.field("model_id", pa.string(), nullable=False),
        pa.field("checked_at", pa.timestamp("us", tz="UTC"), nullable=False),
    ],
    metadata={"schema": "drift", "version": "1"},
)


def check_schema(found: pa.Schema, expected: pa.Schema, where: object) -> None:
    """Raise `SchemaError` unless a file's schema has the columns that `expected` had then.

    A column that came with a later version than the file's may be missing from it.
    """
    name = expected.metadata[b"schema"].decode()
    version = (found.metadata or {}).get(b"version", expected.metadata[b"version"])
    if int(version) > int(expected.metadata[b"version"]):
        raise SchemaError(
            where,
            f"its {name} table is version {version.decode()}, "
            f"this pointerprint reads up to {expected.metadata[b'version'].decode()}",
            "update pointerprint",
        )
    missing = [
        field.name
        for field in expected
        if field.name not in found.names
        and int((field.metadata or {}).get(b"since", b"1")) <= int(version)
    ]
    if missing:
        raise SchemaError(
            where,
            f"it is not a {name} table: missing column(s) {', '.join(missing)}; "
            f"found {', '.join(found.names)}",
            "docs/tables.md lists the columns",
        )
