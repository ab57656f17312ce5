"""The plan that a generator follows: where each movement starts and ends, and when.

Positions are complex numbers, x + iy in px: a turn is then a multiplication.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Complex128, Float32, Float64, Int64, Shaped

from pipeline.features.movements import Movements
from pipeline.schemas import Kind
from pipeline.sessions.sessions import Sessions


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


_GRIDS_PX = (1.0, 0.5, 0.25, 0.125)  # whole CSS px, or fractions on a dense screen
_CHANGES_ONLY = 0.02  # fewer repeated positions than this: the recorder leaves them out


def grid_px(x_px: Float32[np.ndarray, " events"], y_px: Float32[np.ndarray, " events"]) -> float:
    """Return the coarsest grid that all positions lie on; 0 if none does."""
    for grid in _GRIDS_PX:
        if not (np.mod(x_px, grid).any() or np.mod(y_px, grid).any()):
            return grid
    return 0.0


def writes_changes_only(sessions: Sessions) -> bool:
    """Tell whether a session's moves hardly ever repeat a position."""
    is_move = (sessions.kind[1:] == Kind.MOVE) & (sessions.kind[:-1] == Kind.MOVE)
    stays = (np.diff(sessions.x_px) == 0) & (np.diff(sessions.y_px) == 0)
    return bool(stays[is_move].mean() < _CHANGES_ONLY) if is_move.any() else False


def keep_moving(
    plan: Plan, path: Complex128[np.ndarray, " points"], step_px: float
) -> Complex128[np.ndarray, " points"]:
    """Let no step along `path` be shorter than `step_px`; the others give what that takes.

    A recorder that writes only changes never shows a slow start as equal positions, and a
    synthetic session that does would be known by that alone. Where the whole way is too short
    for so many steps, they come out nearly equal.
    """
    way_px = np.cumsum(np.abs(np.diff(path, prepend=path[:1])))
    done_px = way_px - way_px[plan.first][plan.movement]
    length_px = done_px[plan.last]
    n_steps = plan.last - plan.first
    least_px = np.minimum(step_px, 0.95 * length_px / n_steps)
    given = 1 - least_px * n_steps / np.maximum(length_px, 1e-9)
    place = np.arange(len(path)) - plan.first[plan.movement]
    target_px = done_px * given[plan.movement] + place * least_px[plan.movement]
    target_px = np.minimum(target_px, length_px[plan.movement])
    apart = (np.cumsum(length_px + 1) - length_px)[plan.movement]
    return np.interp(apart + target_px, apart + done_px, path)


def on_screen(
    path: Complex128[np.ndarray, " points"], sessions: Sessions
) -> Complex128[np.ndarray, " points"]:
    """Hold a path within the viewport, as far as it is known and the person kept to it."""

    def hold(value: np.ndarray, person_px: np.ndarray, size_px: int) -> np.ndarray:
        highest = max(size_px - 1, person_px.max()) if size_px > 0 else np.inf
        return np.clip(value, min(0, person_px.min()), highest)

    x = hold(np.real(path), sessions.x_px, int(sessions.viewport_width[0]))
    y = hold(np.imag(path), sessions.y_px, int(sessions.viewport_height[0]))
    return x + 1j * y
