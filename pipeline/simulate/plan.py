"""What a generator is given: where each movement of a session starts and ends, and when.

Positions are complex numbers, x + iy in px: a turn is then a multiplication.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Complex128, Float64, Int64, Shaped

from pipeline.sessions import Sessions
from pipeline.simulate.movements import Movements


@dataclass(frozen=True)
class Plan:
    """The movements of one session; point `i` is an event of movement `movement[i]`."""

    start: Complex128[np.ndarray, " movements"]  # px
    end: Complex128[np.ndarray, " movements"]
    duration_s: Float64[np.ndarray, " movements"]
    first: Int64[np.ndarray, " movements"]  # its first point
    last: Int64[np.ndarray, " movements"]
    movement: Int64[np.ndarray, " points"]
    event: Int64[np.ndarray, " points"]  # of the sessions' events
    tau: Float64[np.ndarray, " points"]  # time since the movement's start, of its duration: 0 to 1
    human: Complex128[np.ndarray, " points"]  # where the person was

    def __len__(self) -> int:
        """Return the number of movements."""
        return len(self.start)

    @property
    def length_px(self) -> Float64[np.ndarray, " movements"]:
        """Return the distance from start to end."""
        return np.abs(self.end - self.start)

    def on_chord(self, local: Shaped[np.ndarray, " points"]) -> Complex128[np.ndarray, " points"]:
        """Turn and scale paths that run from 0 to 1 so that they run from start to end."""
        return self.start[self.movement] + (self.end - self.start)[self.movement] * local

    def meet_ends(
        self, path: Complex128[np.ndarray, " points"]
    ) -> Complex128[np.ndarray, " points"]:
        """Shift each path, more and more along the way, so that it starts and ends as planned."""
        at_start = (self.start - path[self.first])[self.movement]
        at_end = (self.end - path[self.last])[self.movement]
        return path + at_start * (1 - self.tau) + at_end * self.tau


def make_plan(sessions: Sessions, movements: Movements) -> Plan:
    """Return the plan of `movements`, which are of one session."""
    n_points = movements.last - movements.first + 1
    movement = np.repeat(np.arange(len(movements)), n_points)
    last = np.cumsum(n_points) - 1
    first = last - n_points + 1
    place = np.arange(len(movement)) - first[movement]
    event = movements.first[movement] + place
    human = sessions.x_px[event].astype(np.float64) + 1j * sessions.y_px[event]
    elapsed_us = sessions.t_us[event] - sessions.t_us[movements.first][movement]
    duration_us = elapsed_us[last]
    by_place = place / (n_points - 1)[movement]  # all events at one time: the order has to do
    is_timed = (duration_us > 0)[movement]
    by_time = elapsed_us / np.maximum(duration_us, 1)[movement]
    return Plan(
        start=human[first],
        end=human[last],
        duration_s=duration_us / 1e6,
        first=first,
        last=last,
        movement=movement,
        event=event,
        tau=np.where(is_timed, by_time, by_place),
        human=human,
    )
