"""Say where a score is by the starter model: the one that ships, trained on few people."""

from typing import Final

from pipeline.scores.partitions import read_manifest
from pipeline.storage.paths import StoragePath, as_path
from pipeline.storage.publish import MANIFEST

STARTER_MODEL: Final = "starter model"

STARTER_TEXT: Final = (
    f"{STARTER_MODEL}: it ships with pointerprint and was trained on few people, none of yours. "
    "Trust the order of the scores more than the threshold; `pointerprint adapt` sets its level to "
    "your sessions, `pointerprint train STORE --simulate` makes a model of your own"
)
STARTER_REFERENCE: Final = (
    f"the reference is the {STARTER_MODEL}'s: its people, not yours. That the days differ from it "
    "says nothing; compare days with each other, or train a model of your own"
)


def days_by_starter(scores: StoragePath) -> list[str]:
    """Return the days of SCORES, or of one partition, that the starter model scored."""
    scores = as_path(scores)
    partitions = [scores, *sorted(scores.glob("run_date=*"))]
    return [
        partition.name.removeprefix("run_date=")
        for partition in partitions
        if (partition / MANIFEST).is_file() and read_manifest(partition).get("is_starter")
    ]


def starter_note(scores: StoragePath) -> tuple[str, ...]:
    """Return a note for figures of SCORES some of which are by the starter model."""
    days = days_by_starter(scores)
    if not days:
        return ()
    when = days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"
    return (f"scores of {when} are by the {STARTER_TEXT}",)
