"""Say where a score is by the starter model: the one that ships, trained on few people."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from pipeline.scores.partitions import read_manifest
from pipeline.storage.paths import StoragePath, as_path
from pipeline.storage.publish import MANIFEST

STARTER_MODEL: Final = "starter model"

STARTER_TEXT: Final = (
    f"{STARTER_MODEL}: it ships with pointerprint and was trained on few people, none of yours. "
    "Trust the order of the scores more than the threshold; `pointerprint adapt` sets its level to "
    "your sessions, `pointerprint train STORE --simulate` makes a model of your own"
)
ADAPTED_STARTER_TEXT: Final = (
    f"{STARTER_MODEL}, with its level set to your sessions: it ships with pointerprint and was "
    "trained on few people, none of yours; `pointerprint train STORE --simulate` makes a model of "
    "your own"
)
STARTER_REFERENCE: Final = (
    f"the reference is the {STARTER_MODEL}'s: its people, not yours. That the days differ from it "
    "says nothing; compare days with each other, or train a model of your own"
)


def starter_text(manifest: Mapping[str, Any]) -> str:
    """Return what to know of scores with this manifest if the starter model made them, else ""."""
    if not manifest.get("is_starter"):
        return ""
    return ADAPTED_STARTER_TEXT if manifest.get("is_adapted") else STARTER_TEXT


def starter_notes(scores: StoragePath) -> tuple[str, ...]:
    """Return notes for figures of SCORES, or of one partition, for days that the starter scored."""
    scores = as_path(scores)
    days: dict[str, list[str]] = {}
    for partition in [scores, *sorted(scores.glob("run_date=*"))]:
        if (partition / MANIFEST).is_file() and (text := starter_text(read_manifest(partition))):
            days.setdefault(text, []).append(partition.name.removeprefix("run_date="))
    return tuple(f"scores of {_span(dates)} are by the {text}" for text, dates in days.items())


def _span(dates: Sequence[str]) -> str:
    return dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"
