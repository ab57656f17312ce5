"""Compare two models on sessions held out from both: is the newer one clearly better?"""

import json
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import pandas as pd
import pyarrow as pa
from jaxtyping import Bool, Float64, Int64, Shaped

from model.bootstrap import few_groups_note, group_counts, wilson_interval
from model.config import PromotionConfig
from model.metrics import roc_curve
from pipeline.errors import SchemaError
from pipeline.features.best_feature import roc_auc
from pipeline.sessions.sessions import Sessions
from pipeline.splits.groups import first_known, parse_synthetic
from pipeline.splits.split import Split
from pipeline.storage.paths import StoragePath


@dataclass(frozen=True)
class Comparison:
    """How two models do on sessions that neither was trained on."""

    champion: str
    challenger: str
    held_out: str  # by which rule the sessions were chosen
    n_legitimate: int
    n_fraud: int
    n_simulated: int  # of the frauds, how many a generator made
    champion_auc: float
    challenger_auc: float
    gain: float  # challenger's less champion's
    gain_low: float
    gain_high: float
    level: float  # of the interval
    champion_fpr: float  # at its own threshold
    challenger_fpr: float
    champion_abstained: float  # share of all sessions
    challenger_abstained: float
    is_better: bool
    why: str


@dataclass(frozen=True)
class HeldOut:
    """The labels of the sessions compared on, and the groups that resamples keep together."""

    label: Int64[np.ndarray, " sessions"]
    is_simulated: Bool[np.ndarray, " sessions"]  # frauds that a generator made
    group: Shaped[np.ndarray, " sessions"]  # a person, or of a fraud its generator
    rule: str  # how they were chosen


def compare_models(
    champion: pa.Table,
    challenger: pa.Table,
    held_out: HeldOut,
    budget: float,
    config: PromotionConfig = PromotionConfig(),
) -> Comparison:
    """Compare two `SCORES` tables of the same sessions, in the same order."""
    tables = (champion, challenger)
    scores = [table["fraud_score"].to_numpy().astype(np.float64) for table in tables]
    flagged = [np.array(table["is_flagged"].to_pylist(), bool) for table in tables]
    has_both = np.isfinite(scores[0]) & np.isfinite(scores[1])
    old, new = scores[0][has_both], scores[1][has_both]
    label, group = held_out.label[has_both], held_out.group[has_both]
    legitimate = held_out.label == 0
    n_legitimate, n_fraud = int((label == 0).sum()), int((label == 1).sum())
    aucs, low, high = (np.nan, np.nan), np.nan, np.nan
    if n_legitimate and n_fraud:
        aucs = roc_auc(old, label), roc_auc(new, label)
        draws = _differences(old, new, label, group, config)
        low, high = np.quantile(draws, [(1 - config.level) / 2, (1 + config.level) / 2])
    found = Comparison(
        champion=_model_id(champion),
        challenger=_model_id(challenger),
        held_out=held_out.rule,
        n_legitimate=n_legitimate,
        n_fraud=n_fraud,
        n_simulated=int((held_out.is_simulated & has_both).sum()),
        champion_auc=float(aucs[0]),
        challenger_auc=float(aucs[1]),
        gain=float(aucs[1] - aucs[0]),
        gain_low=float(low),
        gain_high=float(high),
        level=config.level,
        champion_fpr=_share(flagged[0][legitimate]),
        challenger_fpr=_share(flagged[1][legitimate]),
        champion_abstained=_share(~np.isfinite(scores[0])),
        challenger_abstained=_share(~np.isfinite(scores[1])),
        is_better=False,
        why="",
    )
    is_better, why = decide(found, flagged[1][legitimate], budget, config)
    few = few_groups_note(label, group) if is_better else ""
    return replace(found, is_better=is_better and not few, why=few or why)


def decide(
    found: Comparison,
    flagged: Bool[np.ndarray, " legitimate"],
    budget: float,
    config: PromotionConfig,
) -> tuple[bool, str]:
    """Return whether the challenger is clearly better, and why or why not.

    `flagged` says which legitimate sessions the challenger flags, whether the champion scored
    them or not.
    """
    if min(found.n_legitimate, found.n_fraud) < config.min_each:
        return False, (
            f"{found.n_legitimate} legitimate and {found.n_fraud} fraud sessions are too few to "
            f"compare: promote.min_each is {config.min_each}"
        )
    more = found.challenger_abstained - found.champion_abstained
    if more > config.max_abstained_more:
        return False, f"it abstains on {more:.1%} more of the sessions"
    rate = wilson_interval(int(flagged.sum()), len(flagged))
    if rate.low > config.max_false_alarms * budget:
        return False, (
            f"it flags {found.challenger_fpr:.1%} of legitimate sessions, surely more than "
            f"{config.max_false_alarms:g} times the target FPR of {budget:.2%}"
        )
    if found.gain_low <= config.min_gain:
        return False, (
            f"no clear gain: the interval of the difference begins at {found.gain_low:+.4f}, "
            f"and has to lie above {config.min_gain:+.4f}"
        )
    return True, (f"a clear gain: the interval of the difference lies above {config.min_gain:+.4f}")


def _differences(
    old: Float64[np.ndarray, " sessions"],
    new: Float64[np.ndarray, " sessions"],
    label: Int64[np.ndarray, " sessions"],
    group: Shaped[np.ndarray, " sessions"],
    config: PromotionConfig,
) -> Float64[np.ndarray, " resamples"]:
    """Return the gain in each resample of whole groups: both models see the same draw."""
    codes, _ = pd.factorize(group)
    counts = group_counts(codes, label, config.n_resamples, config.seed)
    pairs = (
        [roc_curve(scores, label, count[codes]).auc() for scores in (old, new)] for count in counts
    )
    return np.array([after - before for before, after in pairs], np.float64)


def _share(hits: np.ndarray) -> float:
    return float(hits.mean()) if len(hits) else 0.0


def _model_id(table: pa.Table) -> str:
    return str(table["model_id"][0].as_py()) if table.num_rows else ""


NEW_TO_BOTH: Final = "new to both, with all sessions of the same person and generator"
UNTRAINED: Final = "never trained on by either; the champion may know the person or generator"
_USED = ("train", "valid", "calib")


def used_sessions(run: StoragePath) -> set[str]:
    """Return the sessions that a RUN was trained, stopped, calibrated or tuned on."""
    path = run / "split.json"
    try:
        sessions = json.loads(path.read_text())["sessions"]
        return {str(name) for partition in _USED for name in sessions[partition]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SchemaError(
            path, f"it can't be read: {error}", "what the champion was trained on isn't known"
        ) from error


def choose_held_out(
    sessions: Sessions, split: Split, champion_used: set[str], min_each: int
) -> tuple[Sessions, HeldOut]:
    """Return the sessions to compare a champion and the challenger of `split` on."""
    ids = sessions.session_id.astype(str)
    used = np.isin(ids, sorted(champion_used))
    untrained = split.is_in("test") & ~used & (sessions.label >= 0)
    fresh = untrained & ~_known(split, used)
    n_each = [int((sessions.label[fresh] == kind).sum()) for kind in (0, 1)]
    chosen, rule = (fresh, NEW_TO_BOTH) if min(n_each) >= min_each else (untrained, UNTRAINED)
    made_by = first_known(split.groups.generator, split.groups.person, sessions.session_id)
    person = first_known(split.groups.person, sessions.session_id)
    group = np.where(sessions.is_fraud, made_by, person)
    label = sessions.label[chosen].astype(np.int64)
    _, generator = parse_synthetic(sessions.session_id[chosen])
    is_simulated = sessions.is_fraud[chosen] & pd.notna(generator)
    return sessions.take(chosen), HeldOut(label, is_simulated, group[chosen], rule)


def _known(split: Split, used: Bool[np.ndarray, " sessions"]) -> Bool[np.ndarray, " sessions"]:
    """Mark the sessions of which a group is also that of one that was used."""
    known = np.zeros(len(used), bool)
    for kind, names in split.kept.items():
        if kind != "time":
            seen = pd.unique(names[used & pd.notna(names)])
            known |= np.asarray(pd.Series(names, dtype=object).isin(seen), bool)
    return known
