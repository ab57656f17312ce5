"""Tables in, the same tables fit to be opened in a spreadsheet out."""

from typing import Final

import pandas as pd

_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


def for_spreadsheets(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a frame whose words no spreadsheet takes for a formula when its CSV is opened.

    An apostrophe before the word is what spreadsheets themselves use to say "text".
    """
    words = [name for name in frame.columns if not pd.api.types.is_numeric_dtype(frame[name])]
    return frame.assign(**{str(name): frame[name].map(_as_text) for name in words})


def _as_text(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
