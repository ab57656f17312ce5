"""A day's manifest in; what a person should know of it at once, out."""

from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

from pipeline.errors import printable
from pipeline.ingest.report import DUPLICATE

_SHOWN: Final = 5  # accounts, files

_TOLD: Final = (
    *("n_sessions", "n_flagged", "n_review", "n_abstained", "n_replays", "n_doubles"),
    *("abstained", "abstain_is", "abstaining_accounts", "n_quarantined", "logs"),
    *("threshold", "model_id", "run_id"),
)


def summary_json(partition: object, manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return what `score --json` prints."""
    return {"partition": str(partition)} | {name: manifest[name] for name in _TOLD}


def summary_lines(manifest: Mapping[str, Any]) -> list[str]:
    """Return what was flagged, what wasn't judged and why, and what is no session at all."""
    lines = [
        f"{manifest['n_sessions']:,} sessions: {manifest['n_flagged']:,} flagged, "
        f"{manifest['n_review']:,} for review"
    ]
    if manifest["n_abstained"]:
        lines.append(f"not judged: {manifest['n_abstained']:,} ({_listed(manifest['abstained'])})")
    lines += _accounts(manifest["abstaining_accounts"])
    logs = manifest["logs"] or {}
    if manifest["n_quarantined"]:
        rejected = Counter(logs.get("rejected", {}))
        if manifest["n_doubles"]:
            rejected[DUPLICATE] += manifest["n_doubles"]
        lines.append(f"quarantined: {manifest['n_quarantined']:,} rows ({_listed(rejected)})")
    not_logs = logs.get("not_logs", {})
    lines += [f"not a log: {name}: {why}" for name, why in list(not_logs.items())[:_SHOWN]]
    if len(not_logs) > _SHOWN:
        lines.append(f"and {len(not_logs) - _SHOWN:,} more that are no logs")
    return lines


def _accounts(accounts: list[dict[str, Any]]) -> list[str]:
    lines = [
        f"account {printable(row['account_id'])} abstains unusually often: "
        f"{row['n_abstained']:,} of {row['n_sessions']:,} sessions, others "
        f"{row['share_of_others']:.1%}"
        for row in accounts[:_SHOWN]
    ]
    if len(accounts) > _SHOWN:
        lines.append(f"and {len(accounts) - _SHOWN:,} more accounts")
    return lines


def _listed(tally: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {n:,}" for name, n in sorted(tally.items()))
