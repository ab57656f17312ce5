"""The text of `--columns` in, a mapping from our names to the log's out."""

from pipeline.errors import ConfigError


def parse_columns(text: str | None) -> dict[str, str]:
    """Return `session_id=sid,t_ms=ts` as a mapping from our names to the log's."""
    pairs = [pair.partition("=") for pair in text.split(",")] if text else []
    wrong = [ours for ours, equals, theirs in pairs if not (ours and equals and theirs)]
    if wrong:
        raise ConfigError(
            "--columns", f"{wrong[0]!r} has no name on both sides", "such as session_id=sid,t_ms=ts"
        )
    return {ours.strip(): theirs.strip() for ours, _, theirs in pairs}
