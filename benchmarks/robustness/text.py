"""Reports as Markdown tables."""

from collections.abc import Iterator
from typing import Any


def to_text(report: dict[str, Any]) -> str:
    """Return the report as Markdown."""
    bots, people = report["bots"], report["people"]
    heading = (
        f"Flagged as they come: {report['n_flagged']} of {report['n_bots']} sessions of "
        f"{len(report['generators'])} generators, which is what is attacked below ("
        f"{', '.join(f'`{name}` {share:.0%}' for name, share in report['generators'].items())}).\n"
    )
    lines = [heading, *_table(bots, "still flagged")]
    lines += ["", f"{report['n_people']} people, the same:\n", *_table(people, "flagged")]
    whole = report["recordings"]
    lines += [
        "",
        f"Their whole recordings ({whole['n_sessions']}, {whole['n_windows']:.0f} windows in "
        f"the median): {whole['flagged']['value']:.1%} flagged, "
        f"{whole['highest_window']:.1%} with a window above the threshold.",
    ]
    return "\n".join(lines)


def _table(rows: dict[str, Any], share: str) -> Iterator[str]:
    yield (
        f"| change | {share} | by the network alone | highest window above the threshold "
        "| log odds moved by | abstained | has a reason | `replay_of` |"
    )
    yield "|---|---|---|---|---|---|---|---|"
    for name, row in rows.items():
        flagged, moved = row["flagged"], row["log_odds_moved"]
        cells = [
            f"{flagged['value']:.1%} [{100 * flagged['low']:.0f}, {100 * flagged['high']:.0f}]",
            f"{row['flagged_by_network']:.1%}",
            f"{row['highest_window']:.1%}",
            "-" if moved is None else f"{moved:+.2f}",
            *(f"{row[key]:.0%}" for key in ("abstained", "has_reason", "replay_of")),
        ]
        yield f"| {name} | {' | '.join(cells)} |"
