"""Windows of people in; out comes how near each rule for a threshold comes to its budget.

Half of the people set the threshold, the others are judged by it, many times over: whoever
sees only one such split takes its luck for a property of the rule.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float64, Shaped
from scipy.special import expit
from scipy.stats import norm

from benchmarks.bots.detectors import BUDGET
from model.config import RunConfig
from model.fraud import FraudScorer
from model.network import Network
from model.policy import PolicyConfig, fit_policy
from pipeline.sessions.sessions import Sessions

N_DRAWS = 30
Logits = Float64[np.ndarray, " windows"]
People = Shaped[np.ndarray, " windows"]
Rule = Callable[[Logits, People], float]


@dataclass(frozen=True)
class Looked:
    """What a network says of people's windows and sessions."""

    window: Logits
    person_of_window: People
    session: Logits
    person_of_session: People


def looked_at(network: Network, config: RunConfig, people: Sessions) -> Looked:
    """Return the logits of `people`'s windows and of their sessions; who can't be judged is out."""
    seen = FraudScorer(config, network).predict(people)
    judged, person = np.isfinite(seen.of_session), people.account_id.astype(str)
    return Looked(
        seen.of_window.astype(np.float64),
        person[seen.windows.session],
        seen.of_session[judged],
        person[judged],
    )


def threshold_rows(people: Looked, others: dict[str, Looked], seed: int = 0) -> dict[str, Any]:
    """Return for each rule the rates of false alarms, means over draws of who sets it."""
    names = np.unique(people.person_of_window)
    rng = np.random.default_rng(seed)
    rows: dict[str, list[dict[str, float]]] = {name: [] for name in RULES}
    for _ in range(N_DRAWS):
        set_by = rng.permutation(names)[: len(names) // 2]
        sets = np.isin(people.person_of_window, set_by)
        judged = ~np.isin(people.person_of_session, set_by)
        for name, rule in RULES.items():
            threshold = rule(people.window[sets], people.person_of_window[sets])
            rates = _rates(people.session[judged] >= threshold, people.person_of_session[judged])
            row = {"rate": rates.mean(), "worst": rates.max()}
            for other, seen in others.items():
                row[other] = _rates(seen.session >= threshold, seen.person_of_session).mean()
            rows[name].append(row)
    return {name: _summary(pd.DataFrame(found)) for name, found in rows.items()}


def _summary(draws: pd.DataFrame) -> dict[str, float]:
    """Return means, and in how many draws the rate was near its budget, and nobody above 5 %."""
    near = draws["rate"].between(0.5 * BUDGET, 1.5 * BUDGET)
    return {
        **draws.mean().to_dict(),
        "near": float(near.mean()),
        "nobody_above_5": float((draws["worst"] <= 0.05).mean()),
    }


def _rates(flagged: np.ndarray, person: np.ndarray) -> pd.Series:
    return pd.Series(flagged).groupby(person).mean()


def _weights(person: People) -> Float64[np.ndarray, " windows"]:
    """Return how much each window counts, so that every person counts once."""
    return 1 / pd.Series(person).map(pd.Series(person).value_counts()).to_numpy(np.float64)


def _quantile(logits: Logits, person: People, share: float = BUDGET) -> float:
    """Cut where `share` of the people's own windows lie above."""
    order = np.argsort(logits)
    below = np.cumsum(_weights(person)[order]) / _weights(person).sum()
    return float(np.nextafter(logits[order][np.searchsorted(below, 1 - share)], np.inf))


def _exponential_tail(logits: Logits, person: People) -> float:
    """Cut by an exponential law fitted to the highest tenth of the windows."""
    begin = _quantile(logits, person, 0.1)
    above = logits > begin
    mean = np.average(logits[above] - begin, weights=_weights(person)[above])
    return begin + mean * np.log(0.1 / BUDGET)


def _normal(logits: Logits, person: People) -> float:
    """Cut by a normal law fitted to all windows."""
    weights = _weights(person)
    mean = np.average(logits, weights=weights)
    deviation = np.sqrt(np.average((logits - mean) ** 2, weights=weights))
    return float(mean + norm.isf(BUDGET) * deviation)


def _by_policy(confidence: float) -> Rule:
    """Return the product's own rule at a `confidence`, but on windows as they are."""
    config = PolicyConfig(confidence=confidence, n_resamples=300)

    def rule(logits: Logits, person: People) -> float:
        found = fit_policy(expit(logits), person, config).thresholds
        threshold = next(t.threshold for t in found if t.budget == BUDGET)
        # Just above the highest score stays just above the highest logit.
        return float(np.min(logits[expit(logits).astype(np.float32) >= threshold], initial=np.inf))

    return rule


RULES: dict[str, Rule] = {
    "policy, 75 %": _by_policy(0.75),
    "policy, 50 %": _by_policy(0.5),
    "quantile": _quantile,
    "exponential tail": _exponential_tail,
    "normal": _normal,
}
