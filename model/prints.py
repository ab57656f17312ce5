"""Prints of sessions, accounts and people: prints of windows, added up.

Both the counts and the images of windows are kept. Images are what is compared and learnt from: the
mean of windows' images tells people apart better than the image of their counts' sum
(docs/decisions/0013-print.md). Counts can be put in words: so many events lie there.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Int64, Shaped

from model.batches import map_windows
from model.config import InputConfig
from model.drawing import count_print
from pipeline.errors import SchemaError
from pipeline.sessions.resample import Resampled, resample
from pipeline.sessions.sessions import Sessions
from pipeline.sessions.windows import Windows, cut_windows, subsample_windows
from pipeline.storage.records import load_arrays
from rasterize.draw import density

_WINDOWS_A_SESSION = 16  # at most, spread evenly: the print of people is no sharper for more
_MOST_SESSIONS = 5_000


@dataclass(frozen=True)
class Prints:
    """The sums of windows' prints, a row a session, an account or whatever they are summed over."""

    counts: Float32[np.ndarray, "rows cells cells panels"]
    images: Float32[np.ndarray, "rows cells cells panels"]
    n_windows: Int64[np.ndarray, " rows"]

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.n_windows)

    @property
    def mean_images(self) -> Float32[np.ndarray, "rows cells cells panels"]:
        """Return the mean image of each row's windows, 0 (an even share everywhere) without any."""
        n_windows = np.maximum(self.n_windows, 1).astype(np.float32)
        return self.images / n_windows[:, None, None, None]

    def take(self, rows: Shaped[np.ndarray, " chosen"]) -> "Prints":
        """Return the prints at `rows`."""
        return Prints(self.counts[rows], self.images[rows], self.n_windows[rows])

    def summed(self, group: Int64[np.ndarray, " rows"], n_groups: int) -> "Prints":
        """Return the sums of rows of one `group`."""
        shape = (n_groups, *self.counts.shape[1:])
        total = Prints(
            np.zeros(shape, np.float32), np.zeros(shape, np.float32), np.zeros(n_groups, np.int64)
        )
        for name in ("counts", "images", "n_windows"):
            np.add.at(getattr(total, name), group, getattr(self, name))
        return total

    def save(self, path: Path) -> None:
        """Write them as NumPy's npz."""
        np.savez(path, counts=self.counts, images=self.images, n_windows=self.n_windows)

    @staticmethod
    def load(path: Path, shape: tuple[int, int, int]) -> "Prints":
        """Return the prints that `save` wrote, of this `shape`; nothing in the file is executed."""
        counts, images, n_windows = load_arrays(path, ("counts", "images", "n_windows"))
        expected = (n_windows.size, *shape)
        if n_windows.ndim != 1 or counts.shape != expected or images.shape != expected:
            what = f"prints of shapes {counts.shape} and {images.shape}, expected {expected}"
            raise SchemaError(path, what, "train the model again")
        return Prints(
            counts.astype(np.float32), images.astype(np.float32), n_windows.astype(np.int64)
        )


def input_windows(
    inputs: InputConfig, sessions: Sessions, at_most: int | None = None
) -> tuple[Resampled, Windows]:
    """Return sessions resampled as a model takes them, and their windows.

    With `at_most`, so many windows of each session, spread evenly.
    """
    resampled = resample(sessions, inputs.resample)
    windows = cut_windows(resampled.sessions, inputs.window)
    return resampled, windows if at_most is None else subsample_windows(windows, at_most)


def window_counts(
    inputs: InputConfig, resampled: Sessions, windows: Windows
) -> Iterator[tuple[Int64[np.ndarray, " batch"], Float32[np.ndarray, "batch cells cells panels"]]]:
    """Give which windows, and the counts behind their prints, batch by batch."""
    compiled = partial(count_print, inputs.panels)
    n_points = inputs.window.max_events
    return map_windows(lambda paths, _: compiled(paths), resampled, windows, n_points)


def session_prints(inputs: InputConfig, sessions: Sessions, at_most: int | None = None) -> Prints:
    """Return the print of each session, as a model takes it.

    With `at_most`, of so many of its windows, spread evenly.
    """
    resampled, windows = input_windows(inputs, sessions, at_most)
    shape = (len(sessions), *inputs.panels.shape)
    n_windows = np.bincount(windows.session, minlength=len(sessions)).astype(np.int64)
    total = Prints(np.zeros(shape, np.float32), np.zeros(shape, np.float32), n_windows)
    for chosen, counts in window_counts(inputs, resampled.sessions, windows):
        session = windows.session[chosen]
        np.add.at(total.counts, session, counts)
        np.add.at(total.images, session, density(counts))
    return total


def print_of_people(
    inputs: InputConfig, sessions: Sessions, person: Shaped[np.ndarray, " sessions"]
) -> Prints:
    """Return one print of the people of `sessions`, in which each counts alike."""
    if len(sessions) > _MOST_SESSIONS:
        spread = np.linspace(0, len(sessions) - 1, _MOST_SESSIONS).astype(np.int64)
        sessions, person = sessions.take(spread), person[spread]
    names, whose = np.unique(person.astype(str), return_inverse=True)
    prints = session_prints(inputs, sessions, _WINDOWS_A_SESSION).summed(whose, len(names))
    n_all = prints.n_windows.sum()
    alike = n_all / np.maximum(prints.n_windows, 1) / max(int((prints.n_windows > 0).sum()), 1)
    scale = alike.astype(np.float32)[:, None, None, None]
    return Prints(
        (prints.counts * scale).sum(axis=0, keepdims=True),
        (prints.images * scale).sum(axis=0, keepdims=True),
        np.array([n_all], np.int64),
    )
