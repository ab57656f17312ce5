"""How rare is each reason code on people, and how common on bots?

    python -m benchmarks.reasons [--json FILE]

Needs the recordings in POINTERPRINT_DATA (default ../shared/data): SapiMouse's people, 18
families of bots, Balabit's people; and the sample's recordings. SapiMouse's people are split
into four folds: a person is compared with the reference distribution of the other three's people.
Everything else is compared with all of SapiMouse's people. Prints Markdown: docs/benchmarks.md
holds it.
"""

import argparse
import json
import os
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from flows.jobs.inputs import each_sessions
from pipeline.reasons.account import cut_sub_sessions
from pipeline.reasons.find import find_reasons
from pipeline.reasons.reference import ReferenceRanges, fit_reference_ranges
from pipeline.reasons.registry import MEASURED, measure_sessions
from pipeline.sessions.sessions import Sessions, concatenate_sessions
from pipeline.simulate.generators import BOT_NAMES
from pipeline.simulate.synthetic import simulate_sessions

FOLDS = 4
SUB_SESSION = 300  # events: what other sessions commonly have
TWINS_OF = 200  # stretches of people
NAMES = [reason.code for reason in MEASURED]


def share(sessions: Sessions, usual: ReferenceRanges) -> pd.Series:
    """Return the share of `sessions` that get each code, and any of them."""
    found = find_reasons(sessions, usual).to_pandas()
    by_code = found.groupby("code", observed=True)["session_id"].nunique().reindex(NAMES)
    by_code["any"] = found["session_id"].nunique()
    return by_code.fillna(0) / len(sessions)


def on_people(people: Sessions) -> pd.DataFrame:
    """Return the shares on people that the reference has not seen, a column for each length."""
    account = people.account_id.astype(str)
    names = np.random.default_rng(0).permutation(np.unique(account))
    fold = np.isin(account, names) * np.searchsorted(np.sort(names), account)
    order = np.argsort(names)  # the place of each sorted name in the shuffled list
    fold = order[fold] % FOLDS
    counts: dict[str, pd.Series] = {}
    n: dict[str, int] = {}
    for k in range(FOLDS):
        usual = fit_reference_ranges(people.take(fold != k), account[fold != k])
        unseen = people.take(fold == k)
        lengths = {
            f"{size} events": cut_sub_sessions(unseen, size)[0] for size in (32, 128, 300, 1000)
        }
        for name, sessions in (lengths | {"whole": unseen}).items():
            counts[name] = counts.get(name, 0) + share(sessions, usual) * len(sessions)
            n[name] = n.get(name, 0) + len(sessions)
    return pd.DataFrame({f"{name} ({n[name]:,})": counts[name] / n[name] for name in counts})


def click_loop(rng: np.random.Generator) -> pd.DataFrame:
    """Return a script that presses a button once in a while, at places it doesn't move to."""
    t_ms = np.cumsum(800 * rng.uniform(0.97, 1.03, 40))
    press = pd.DataFrame({"t_ms": t_ms, "event": "down"})
    press[["x", "y"]] = rng.uniform(100, 900, (len(press), 2))
    release = press.assign(t_ms=press.t_ms + 20, event="up")
    return pd.concat([press, release]).sort_values("t_ms")


def timer_macro(rng: np.random.Generator) -> pd.DataFrame:
    """Return a script that moves along smooth loops by a timer of 10 ms, and never rests."""
    t_ms = np.arange(0, 30_000, 10)
    phase = t_ms / 1000 * rng.uniform(1, 3)
    x, y = 600 + 300 * np.cos(phase), 400 + 200 * np.sin(rng.uniform(1, 2) * phase)
    return pd.DataFrame({"t_ms": t_ms, "x": x, "y": y, "event": "move"})


def scripts(n: int = 50) -> dict[str, Sessions]:
    """Return sessions of scripts whose clock gives them away: twins have a person's clock."""
    rng = np.random.default_rng(0)
    made = {}
    with tempfile.TemporaryDirectory() as folder:
        for script in (click_loop, timer_macro):
            rows = [script(rng).assign(session_id=f"{script.__name__}_{i}") for i in range(n)]
            log = Path(folder, f"{script.__name__}.csv")
            pd.concat(rows).to_csv(log, index=False)
            made[script.__name__] = concatenate_sessions(list(each_sessions([log])))
    return made


def table(shares: pd.DataFrame, digits: int) -> str:
    """Return shares as Markdown, in percent; a share of none is a dash."""
    rows = [f"| {shares.index.name or ''} | {' | '.join(shares.columns)} |"]
    rows.append("|---" * (len(shares.columns) + 1) + "|")
    for name, row in shares.iterrows():
        cells = [f"{100 * x:.{digits}f}" if x > 0 else "-" for x in row]
        rows.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(rows)


def listed(shares: pd.DataFrame) -> str:
    """Return the shares of bots as Markdown: a row a bot, its commonest codes first."""
    rows = ["| bot | any | codes of 5 % and more of its sessions |", "|---|---|---|"]
    for name, row in shares.iterrows():
        common = row.drop("any").sort_values(ascending=False, kind="stable")
        cells = [f"`{code}` {100 * x:.0f}" for code, x in common.items() if x >= 0.05]
        rows.append(f"| {name} | {100 * row['any']:.0f} | {', '.join(cells) or '-'} |")
    return "\n".join(rows)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--json", type=Path, help="also write the shares here")
    arguments = parser.parse_args()
    root = Path(__file__).resolve().parent.parent
    recordings = Path(os.environ.get("POINTERPRINT_DATA", root.parent / "shared" / "data"))

    def read(path: Path, **columns: str) -> Sessions:
        return concatenate_sessions(list(each_sessions([path], columns=columns)))

    people = read(recordings / "sapimouse")
    usual = fit_reference_ranges(people, people.account_id)
    print("Unseen people of SapiMouse, % of sub-sessions\n")
    unseen = on_people(people)
    print(table(unseen.rename_axis("code"), 2))

    sample = read(root / "sample_data" / "logs")
    sample = sample.take(np.array(["~" not in name for name in sample.session_id]))
    balabit, _ = cut_sub_sessions(read(recordings / "balabit" / "training_files"), SUB_SESSION)
    others = pd.DataFrame(
        {
            f"sample_data ({len(sample)})": share(sample, usual),
            f"Balabit ({len(balabit):,})": share(balabit, usual),
        }
    )
    print("\nPeople of other recorders, % of sub-sessions\n")
    print(table(others.rename_axis("code"), 2))

    bots = read(recordings / "bots", account_id="generator")
    families = {
        name: share(bots.take(bots.account_id == name), usual)
        for name in np.unique(bots.account_id.astype(str))
    }
    families |= {name: share(sessions, usual) for name, sessions in scripts().items()}
    print("\nBots recorded, and two scripts written here, % of sessions\n")
    of_families = pd.DataFrame(families).T
    print(listed(of_families))

    stretches, _ = cut_sub_sessions(people, SUB_SESSION)
    chosen = np.random.default_rng(0).choice(len(stretches), TWINS_OF, replace=False)
    origin = stretches.take(np.sort(chosen))
    twins = pd.DataFrame(
        {name: share(simulate_sessions(origin, [name], 1, 0), usual) for name in BOT_NAMES}
    ).T
    print("\nSimulated bots in the likeness of people's sub-sessions, % of sessions\n")
    print(listed(twins))

    began = time.process_time()
    measure_sessions(people)
    n_events = len(people.t_us)
    print(f"\n{1e6 * (time.process_time() - began) / n_events:.2f} us of processor time an event")
    if arguments.json:
        shares = {"unseen": unseen, "others": others, "families": of_families, "twins": twins}
        arguments.json.write_text(json.dumps({k: v.to_dict() for k, v in shares.items()}, indent=1))


if __name__ == "__main__":
    main()
