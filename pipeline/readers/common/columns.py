"""Find out which columns of a table hold what, by their names and the first of their cells.

Tables are delimited text, rows of JSON, and Parquet. What names mean is in `names.py`. The unit of
a time is told by the column's name, or else by its cells. What was found is said in one line, and
`--columns` overrides it; where two readings are as good, an error shows both.
"""

import difflib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from pipeline.errors import ColumnsError, ConfigError, MissingColumnsError, did_you_mean
from pipeline.readers.common.names import (
    BUTTON_NAMES,
    DATES,
    EVENT_NAMES,
    HEIGHTS,
    IDENTIFIERS,
    STATE_NAMES,
    TIME_UNITS,
    TIMES,
    WIDTHS,
    Candidate,
    leaf_of,
    name_role,
    place_role,
    plain,
    time_role,
)
from pipeline.readers.common.words import UNKNOWN, kind_of, state_of

Cell = object

REQUIRED: Final = ("t_ms", "x", "y")
WORDS: Final = ("session_id", "window_id", "event", "state", "button", "account_id", "source")
NUMBERS: Final = ("x", "y", "label", "viewport_width", "viewport_height")
KNOWN: Final = (*WORDS, *NUMBERS, *TIMES, "scroll_y")
SAMPLE_ROWS: Final = 200

_EPOCH_S: Final = (631_152_000, 4_102_444_800)  # 1990 to 2100, in s
_SHORTEST_STEP_MS: Final = 0.1  # between two positions: no recorder writes 10,000 of them a second
_LONGEST_STEP_MS: Final = 2500.0
_LARGEST: Final = 1e200  # a number that is looked at: multiplied, it is one still
_FEWEST_CHECKED: Final = 10  # times, before a unit that was named is called wrong
_AGREE_US: Final = 1e6  # two clocks of the same events that stay so near are one reading
_NUMBER: Final = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*")
_COMMA_NUMBER: Final = re.compile(r"\s*[+-]?\d+,\d+\s*")
_LIST: Final = re.compile(
    r"\s*[\[(]?\s*[+-]?[\d.]+(e[+-]?\d+)?(\s*[,;\s]\s*[+-]?[\d.]+(e[+-]?\d+)?)+\s*[\])]?\s*", re.I
)
_DAY_FIRST: Final = re.compile(r"\s*(\d{1,2})[/.-](\d{1,2})[/.-](\d{4})\b")


@dataclass(frozen=True)
class Reading:
    """How a table is read."""

    names: Mapping[str, str]  # our column -> the table's; one of them is a time
    has_decimal_comma: bool = False
    has_lists: bool = False  # a row holds a whole path: a list in each of its cells
    account_is_session: bool = False
    sessions: str = ""  # what they are called by, for a person

    @property
    def note(self) -> str:
        """Return one line that says how the table is read."""
        renamed = [f"{ours}={name}" for ours, name in self.names.items()]
        skipped = [f"{ours}={self.names.get(ours)}" for ours in IDENTIFIERS]
        parts = [one for one in renamed if one not in skipped and len(set(one.split("="))) > 1]
        parts += ["decimal comma"] * self.has_decimal_comma + ["a path a row"] * self.has_lists
        return ", ".join([self.sessions, *parts])


def check_mapping(columns: Mapping[str, str]) -> None:
    """Raise `ConfigError` if `columns` names a column of ours that doesn't exist."""
    for ours in columns:
        if ours not in KNOWN:
            near = did_you_mean(ours, KNOWN)
            raise ConfigError(
                f"columns {ours}={columns[ours]}",
                f"unknown column {ours!r}",
                f"did you mean {near[0]}?" if near else f"known: {', '.join(KNOWN)}",
            )


def parse_columns(text: str | None) -> dict[str, str]:
    """Return `session_id=sid,t_ms=ts` as a mapping from our names to the log's."""
    pairs = [pair.partition("=") for pair in text.split(",")] if text else []
    wrong = [ours for ours, equals, theirs in pairs if not (ours and equals and theirs)]
    if wrong:
        raise ConfigError(
            "--columns",
            f"{wrong[0]!r} has no name on both sides",
            "write it like session_id=sid,t_ms=ts",
        )
    return {ours.strip(): theirs.strip() for ours, _, theirs in pairs}


class Sample:
    """The first rows of a table, as text, by column."""

    def __init__(self, names: Sequence[str], rows: Iterable[Sequence[Cell]]):
        self.names = list(names)
        rows = list(rows)
        self.n_rows = len(rows)
        columns = list(zip(*rows, strict=False)) or [()] * len(self.names)
        self._cells = dict(zip(self.names, columns, strict=False))
        self._written: dict[str, list[str]] = {}  # kept: each column is looked at several times

    def cells(self, name: str) -> list[str]:
        """Return the cells of a column that are not empty."""
        if name not in self._written:
            given = (str(cell).strip() for cell in self._cells.get(name, ()) if cell is not None)
            self._written[name] = [cell for cell in given if cell]
        return self._written[name]

    def first_row(self) -> list[str]:
        """Return the first cell of each column, cut short."""
        return [str((self._cells.get(name) or ("",))[0])[:20] for name in self.names[:8]]

    def numbers(self, name: str) -> np.ndarray:
        """Return the numbers in a column; what is none is left out."""
        cells = [
            cell.replace(",", ".") if "," in cell and _COMMA_NUMBER.fullmatch(cell) else cell
            for cell in self.cells(name)
        ]
        found = np.array([float(cell) for cell in cells if _NUMBER.fullmatch(cell)], np.float64)
        return np.clip(found, -_LARGEST, _LARGEST)

    def is_numeric(self, name: str) -> bool:
        """Say whether most cells of a column are numbers."""
        cells = self.cells(name)
        return bool(cells) and 2 * len(self.numbers(name)) > len(cells)

    def has_lists(self, name: str) -> bool:
        """Say whether the first cells of a column hold lists of numbers."""
        cells = self.cells(name)[:20]
        n_lists = sum(
            bool(_LIST.fullmatch(cell)) and not _COMMA_NUMBER.fullmatch(cell) for cell in cells
        )
        return bool(cells) and 2 * n_lists > len(cells)

    def holds_numbers(self, name: str) -> bool:
        """Say whether a column holds numbers, or lists of them."""
        return self.is_numeric(name) or self.has_lists(name)

    def is_time(self, name: str) -> bool:
        """Say whether the first cells of a column can be times at all."""
        return self.holds_numbers(name) or bool(_date_name(self, name))

    def values(self, name: str) -> np.ndarray:
        """Return the numbers in a column, or in the lists of its first cells."""
        if not self.has_lists(name):
            return self.numbers(name)
        found = np.concatenate([numbers_in(cell) for cell in self.cells(name)[:20]])
        return np.clip(found, -_LARGEST, _LARGEST)


def numbers_in(cell: object) -> np.ndarray:
    """Return the numbers of a list in a cell (`[1, 2]`, `1,2`, `1 2`); NaN for what is none."""
    text = str(cell).strip().strip("[]()")
    parts = [part.strip(" '\"") for part in re.split(r"[,;\s]+", text) if part]
    return np.array([float(p) if _NUMBER.fullmatch(p) else np.nan for p in parts], np.float64)


def read_columns(
    columns: Mapping[str, str], sample: Sample, where: object, is_named: bool = True
) -> Reading:
    """Return how a table is read: by the user's names, then by ours, then by what names mean.

    Raises `MissingColumnsError` if it has no time, x or y, and `ColumnsError` where two readings
    are as good, or where the unit that was named can't be the time's.
    """
    check_mapping(columns)
    given = _given(columns, sample.names, where, is_named)
    own = {name: name for name in sample.names if name in KNOWN and name not in given}
    times = [ours for ours in TIMES if ours in given] or [name for name in own if name in TIMES]
    names = {
        ours: name for ours, name in (given | own).items() if ours not in TIMES or ours == times[0]
    }
    _find_places(names, sample, where)
    time, column = (times[0], names[times[0]]) if times else _find_time(names, sample, where)
    names |= {time: column} if time else {}
    missing = [ours for ours in ("x", "y") if ours not in names] + ([] if time else ["t_ms"])
    if missing:
        raise MissingColumnsError(where, missing, sample.names, _guesses(missing, sample))
    names = _with_unit(names, time, given, sample, where)
    _find_words(names, sample, where)
    if "session_id" not in names:
        _refuse_misspelt(names, sample, where)
    is_account = "session_id" not in names and "account_id" in names
    return Reading(
        {ours: name for ours, name in names.items() if ours != "scroll_y"},
        has_decimal_comma=_has_decimal_comma(names, sample),
        has_lists=all(sample.has_lists(names[axis]) for axis in ("x", "y")),
        account_is_session=is_account,
        sessions=_sessions_by(names, is_account),
    )


def _refuse_misspelt(names: Mapping[str, str], sample: Sample, where: object) -> None:
    """Raise `ColumnsError` for a column that nearly names the session: all would become one."""
    free = {plain(name): name for name in sample.names if name not in names.values()}
    near = difflib.get_close_matches("sessionid", free, n=1, cutoff=0.85)
    if near:
        raise ColumnsError(
            where,
            f"nothing names the session, but {free[near[0]]!r} nearly does",
            f"--columns session_id={free[near[0]]}",
        )


def _given(
    columns: Mapping[str, str], found: Sequence[str], where: object, is_named: bool
) -> dict[str, str]:
    """Return our name -> the table's for what the user named, a column by its number too.

    Of several logs that are read at once some may have none of these columns; but one that has
    some, or that was named by itself, has to have all.
    """
    names = {}
    for ours, theirs in columns.items():
        if theirs in found:
            names[ours] = theirs
        elif theirs.isdecimal() and 1 <= int(theirs) <= len(found):
            names[ours] = found[int(theirs) - 1]
    lacking = {ours: theirs for ours, theirs in columns.items() if ours not in names}
    if lacking and (is_named or (names and not set(lacking) <= set(found))):
        ours, theirs = next(iter(lacking.items()))
        near = did_you_mean(theirs, found)
        raise ColumnsError(
            where,
            f"--columns {ours}={theirs}: it has no column {theirs!r}; found {shown(found)}",
            f"did you mean {ours}={near[0]}?" if near else "name a column, or its number from 1",
        )
    return names


def _find_places(names: dict[str, str], sample: Sample, where: object) -> None:
    """Add the x and the y: the pair of columns of the best rank."""
    if "x" in names and "y" in names:
        return
    pairs: dict[tuple[int, str], dict[str, list[str]]] = {}
    for name in sample.names:
        role = place_role(name)
        if role and role[0] not in names:
            pairs.setdefault((role[1], role[2]), {}).setdefault(role[0], []).append(name)
    needed = [axis for axis in ("x", "y") if axis not in names]
    whole = [(key[0], pair) for key, pair in pairs.items() if pair.keys() >= set(needed)]
    whole = [
        (rank, pair) for rank, pair in whole
        if all(_holds_places(sample, name) for found in pair.values() for name in found)
    ] or whole  # fmt: skip
    if not whole:
        return
    best = min(rank for rank, _ in whole)
    rivals = [
        dict(zip(needed, one, strict=True))
        for rank, pair in whole if rank == best
        for one in zip(*(pair[axis] for axis in needed), strict=False)
    ]  # fmt: skip
    if len(rivals) > 1:
        _refuse_rivals(where, "the position", rivals[:2])
    names.update(rivals[0])


def _holds_places(sample: Sample, name: str) -> bool:
    return not sample.cells(name) or sample.holds_numbers(name)


def _find_time(names: Mapping[str, str], sample: Sample, where: object) -> tuple[str, str]:
    """Return our name of the time, its unit in it, and the table's; empty where there is none."""
    used = set(names.values())
    found = [c for name in sample.names if name not in used and (c := time_role(name))]
    found = [c for c in found if not sample.cells(c.name) or sample.is_time(c.name)]
    if not found:
        return "", ""
    changing = [c for c in found if sample.has_lists(c.name) or len(set(sample.cells(c.name))) > 1]
    found = changing or found  # the date of a visit is no clock
    best = min(candidate.rank for candidate in found)
    rivals = [(_unit(c, sample, where), c.name) for c in found if c.rank == best]
    if len(rivals) > 1 and not _agree(sample, rivals):
        _refuse_rivals(where, "the time", [dict([rival]) for rival in rivals[:2]])
    return rivals[0]


def _date_name(sample: Sample, name: str) -> str:
    """Return `t_iso`, `t_dmy`, `t_mdy` by what the cells look like; `t_dmy t_mdy` for either."""
    cells = sample.cells(name)
    if cells and (re.match(r"\d{4}[-/]\d\d?[-/]\d\d?|\d{8}T\d{6}|\d\d?:\d\d:\d\d", cells[0])):
        return "t_iso"
    parts = [found for cell in cells if (found := _DAY_FIRST.match(cell))]
    if not parts or 2 * len(parts) < len(cells):
        return ""
    first, second = ({int(found[i]) for found in parts} for i in (1, 2))
    if max(first) > 12 or max(second) > 12:
        return "t_dmy" if max(first) > 12 else "t_mdy"
    return "t_dmy t_mdy"


def _unit(candidate: Candidate, sample: Sample, where: object) -> str:
    """Return our name of a time: its unit by the column's name, or else by its cells."""
    name = candidate.name
    if not sample.holds_numbers(name):
        date = _date_name(sample, name) or candidate.unit or "t"
        if " " in date:
            _refuse_rivals(
                where, "the date (day or month first)", [{d: name} for d in date.split()]
            )
        return date
    return candidate.unit or _unit_of(sample.values(name))


def _epoch_unit(values: np.ndarray) -> str:
    """Return the unit in which times count since 1970, empty where they don't."""
    middle = abs(float(np.median(values))) if len(values) else 0.0
    for unit, per_s in (("t_s", 1), ("t_ms", 1e3), ("t_us", 1e6), ("t_ns", 1e9)):
        if _EPOCH_S[0] * per_s <= middle < _EPOCH_S[1] * per_s:
            return unit
    return ""


def _unit_of(values: np.ndarray) -> str:
    """Return the unit of times that count since 1970, or that are as far apart as events are."""
    if not len(values):
        return "t_ms"
    if unit := _epoch_unit(values):
        return unit
    step = _step(values)
    if step and step < 1 and np.any(values % 1):
        return "t_s"
    longest = {"t_ms": _LONGEST_STEP_MS, "t_us": 1e3 * _LONGEST_STEP_MS, "t_ns": np.inf}
    return next(unit for unit, most in longest.items() if step <= most)


def _step(values: np.ndarray) -> float:
    """Return the middle of the steps forward, 0 where there are none."""
    steps = np.diff(values)
    steps = steps[steps > 0]
    return float(np.median(steps)) if len(steps) else 0.0


def _agree(sample: Sample, rivals: Sequence[tuple[str, str]]) -> bool:
    """Say whether two columns are the same clock but for where it starts."""
    times = [_as_us(sample, unit, name) for unit, name in rivals]
    if len({len(t) for t in times}) > 1 or not len(times[0]):
        return False
    return all(np.ptp(t - times[0]) <= _AGREE_US for t in times[1:])


def _as_us(sample: Sample, unit: str, name: str) -> np.ndarray:
    if unit in TIME_UNITS:
        return sample.numbers(name) * TIME_UNITS[unit]
    cells = pd.Series(sample.cells(name))
    dates = pd.to_datetime(
        cells, format="mixed", utc=True, errors="coerce", dayfirst=unit == "t_dmy"
    )
    return dates.to_numpy("datetime64[us]").astype(np.float64)


def _with_unit(
    names: Mapping[str, str], time: str, given: Mapping[str, str], sample: Sample, where: object
) -> dict[str, str]:
    """Return the names with the time's unit checked; a column `t` gets one.

    Raises `ColumnsError` where the unit that its name or the user says makes nonsense of the times
    and another makes sense.
    """

    def called(unit: str) -> dict[str, str]:
        return {unit if ours == time else ours: column for ours, column in names.items()}

    name = names[time]
    if not sample.holds_numbers(name):
        is_date = time == "t" or (time in TIME_UNITS and _date_name(sample, name))
        return called(_unit(Candidate(0, name, "t_iso"), sample, where) if is_date else time)
    values = sample.values(name)
    likely = _unit_of(values)
    if time in DATES and time != "t" and time in given:
        raise ColumnsError(
            where, f"--columns {time}={name}: it holds numbers, such as {values[0]:g}",
            f"--columns {likely}={name}",
        )  # fmt: skip
    if time in DATES:
        return called(likely)
    is_checked = len(values) >= _FEWEST_CHECKED and likely != time
    if is_checked and not _is_possible(values, time) and _is_possible(values, likely):
        raise ColumnsError(
            where,
            f"{time}={name} can't be: {_described(values, time)}; "
            f"as {likely} it is {_described(values, likely)}",
            f"--columns {likely}={name}",
        )
    return dict(names)


def _is_possible(values: np.ndarray, unit: str) -> bool:
    """Say whether times of this unit are of the years that logs are of, and not too near or far."""
    us = values * TIME_UNITS[unit]
    middle, step_ms = abs(float(np.median(us))), _step(us) / 1e3
    is_dated = _EPOCH_S[0] * 1e6 <= middle < _EPOCH_S[1] * 1e6
    is_paced = not step_ms or step_ms >= _SHORTEST_STEP_MS
    return (middle < _EPOCH_S[0] * 1e6 or is_dated) and is_paced


def _described(values: np.ndarray, unit: str) -> str:
    us = values * TIME_UNITS[unit]
    first, step = float(us[0]), _step(us)
    is_dated = abs(first) >= 1e14
    when = f"year {1970 + first / 31_556_952e6:,.0f}" if is_dated else f"{first / 1e6:,.0f} s"
    return f"{when}, steps of {step / 1e3:.3g} ms"


def _find_words(names: dict[str, str], sample: Sample, where: object) -> None:
    """Add the columns that name the session, the account, the event and its button, if any."""
    used = set(names.values())
    free = [name for name in sample.names if name not in used and sample.cells(name)]
    for role in ("session_id", "window_id", "account_id"):
        found = [
            Candidate(rank[1], name)
            for name in free
            if (rank := name_role(name)) and rank[0] == role and not sample.has_lists(name)
        ]
        if role not in names and (best := _best(found, role, sample, where)):
            names[role] = best
    _find_events(names, [name for name in free if name not in names.values()], sample)
    for role, table in (
        ("button", BUTTON_NAMES), ("viewport_width", WIDTHS), ("viewport_height", HEIGHTS),
    ):  # fmt: skip
        found = [Candidate(table[leaf], name) for name in free if (leaf := leaf_of(name)) in table]
        if role not in names and found:
            names[role] = min(found).name


def _find_events(names: dict[str, str], free: Sequence[str], sample: Sample) -> None:
    """Add the column of what each event is, and the one of whether a button goes down or up."""
    ranked = [(EVENT_NAMES[leaf], name) for name in free if (leaf := leaf_of(name)) in EVENT_NAMES]
    known = {name: _known_share(sample.cells(name)) for _, name in ranked}
    fit = [(-known[name] if rank > 1 else -1, rank, name) for rank, name in ranked
           if rank == 1 or known[name] >= 0.5]  # fmt: skip
    if fit and "event" not in names:
        names["event"] = min(fit)[2]
    states = sorted(
        (STATE_NAMES[leaf], name)
        for name in free
        if (leaf := leaf_of(name)) in STATE_NAMES
        and name not in names.values()
        and _known_share(sample.cells(name), state_of) >= 0.5
    )
    if states and "state" not in names:
        names["state" if "event" in names else "event"] = states[0][1]


def _known_share(cells: Sequence[str], meaning: Callable[[str | None], int] = kind_of) -> float:
    """Return the share of words that say what an event is."""
    n_known = sum(n for word, n in Counter(cells).items() if meaning(word) != UNKNOWN)
    return n_known / max(len(cells), 1)


def _best(found: Sequence[Candidate], role: str, sample: Sample, where: object) -> str | None:
    """Return the column of the best rank; two that differ are an error."""
    if not found:
        return None
    rank = min(found).rank
    rivals = [candidate.name for candidate in found if candidate.rank == rank]
    if role != "session_id":
        return rivals[0]
    first = sample.cells(rivals[0])
    differing = [name for name in rivals[1:] if _grouping(sample.cells(name)) != _grouping(first)]
    if differing:
        _refuse_rivals(where, "the session", [{role: rivals[0]}, {role: differing[0]}])
    return rivals[0]


def _grouping(cells: Sequence[str]) -> list[int]:
    """Return which cells are equal, whatever they say."""
    return pd.factorize(np.array(cells, object))[0].tolist()


def _refuse_rivals(where: object, what: str, rivals: Sequence[Mapping[str, str]]) -> None:
    flags = [",".join(f"{ours}={name}" for ours, name in rival.items()) for rival in rivals]
    names = [" and ".join(rival.values()) for rival in rivals]
    raise ColumnsError(
        where,
        f"two readings of {what}: {' or '.join(dict.fromkeys(names))}",
        f"--columns {flags[0]} or --columns {flags[1]}",
    )


def _has_decimal_comma(names: Mapping[str, str], sample: Sample) -> bool:
    """Say whether numbers are written with a comma, as spreadsheets of many countries do."""
    cells = [
        c for ours in (*TIME_UNITS, "x", "y") if ours in names for c in sample.cells(names[ours])
    ]
    return any("," in cell and _COMMA_NUMBER.fullmatch(cell) for cell in cells) and not any(
        _NUMBER.fullmatch(cell) and "." in cell for cell in cells
    )


def _sessions_by(names: Mapping[str, str], is_account: bool) -> str:
    """Return what sessions are called by, for a person."""
    by = names.get("account_id" if is_account else "session_id")
    window = f" and `{names['window_id']}`" if "window_id" in names else ""
    return (f"sessions by `{by}`" if by else "a session a file") + window


def _guesses(missing: Sequence[str], sample: Sample) -> dict[str, str]:
    """Return what a hint may name for each missing column: ours, with a unit -> the table's."""
    guesses: dict[str, str] = {}
    for ours in sorted(missing, reverse=True):  # the places first
        free = [n for n in sample.names if n not in guesses.values() and not name_role(n)]
        if ours == "t_ms":
            steady = [n for n in free if sample.is_numeric(n) and _is_steady(sample.numbers(n))]
            guesses |= {_unit_of(sample.numbers(name)): name for name in steady[:1]}
        else:
            near = did_you_mean(ours, free) or [n for n in free if ours in n.lower()]
            guesses |= dict(zip([ours], near, strict=False))
    return guesses


def _is_steady(values: np.ndarray) -> bool:
    """Say whether numbers mostly rise: a time does."""
    rises = len(values) > 2 and float(np.mean(np.diff(values) >= 0)) > 0.9
    return bool(rises and values[-1] > values[0])


def headerless_guess(sample: Sample) -> dict[str, str]:
    """Return a likely reading of a table without header: our columns -> their numbers, from 1."""
    numeric = [n for n in sample.names if sample.is_numeric(n)]
    steady = [
        n for n in numeric if _is_steady(sample.numbers(n)) and len(set(sample.numbers(n))) > 2
    ]
    epochs = [n for n in steady if _epoch_unit(sample.numbers(n))]
    dated = [n for n in sample.names if n not in numeric and _date_name(sample, n)]
    guess: dict[str, str] = {}
    if time := next(iter(dated + epochs + steady), None):
        date = _date_name(sample, time).split()
        guess[date[0] if date else _unit_of(sample.numbers(time))] = time
    others = [n for n in sample.names if n not in numeric and n != time and sample.cells(n)]
    worded = [n for n in others if _known_share(sample.cells(n)) > 0.5]
    guess |= dict(zip(["event"], worded, strict=False))
    places = [n for n in numeric if n != time and len(set(sample.numbers(n))) > 2][:2]
    return guess | dict(zip(["x", "y"], places, strict=False))


def shown(names: Sequence[str]) -> str:
    """Return the first of many names."""
    more = f" and {len(names) - 20:,} more" if len(names) > 20 else ""
    return ", ".join(name[:60] for name in names[:20]) + more
