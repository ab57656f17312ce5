"""The labelling job: a file of people's verdicts in, feedback beside a STORE or SCORES out."""

import logging
from datetime import UTC, datetime

from pipeline.sessions.feedback import FeedbackReport, add_feedback
from pipeline.storage.paths import StoragePath

log = logging.getLogger(__name__)


def label(table: StoragePath, file: StoragePath) -> FeedbackReport:
    """Add the labels in `file` to what was said about the sessions of `table`."""
    report = add_feedback(table, file, datetime.now(UTC))
    log.info(
        "%(n_fraud)d fraud, %(n_legitimate)d legitimate, %(n_unsure)d unsure labels added, "
        "%(n_unknown)d sessions unknown",
        {
            "n_fraud": report.fraud,
            "n_legitimate": report.legitimate,
            "n_unsure": report.unsure,
            "n_unknown": len(report.unknown),
        },
    )
    return report
