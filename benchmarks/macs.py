"""How many multiply-accumulates a window costs: to draw its print, and for the network."""

from typing import NamedTuple

from model.config import NetworkConfig, PanelsConfig


class Macs(NamedTuple):
    """Multiply-accumulates of one window."""

    drawing: int  # an addition counts as one
    convolutions: int
    hidden: int
    linear: int

    @property
    def network(self) -> int:
        """Return those of the network alone."""
        return self.convolutions + self.hidden + self.linear


def count_macs(panels: PanelsConfig, network: NetworkConfig, n_events: int) -> Macs:
    """Return the multiply-accumulates of a window of `n_events`, as the scatter draws it.

    Where the points lie in the panels is not counted: that is no multiply-accumulate.
    """
    side, _, n_panels = panels.shape
    spots = 4 * n_events * n_panels  # each event to its four nearest cells
    blur = 2 * side**3 * n_panels  # two products of matrices a panel
    linear = side * side * n_panels
    convolutions, n_in = 0, n_panels
    for i, width in enumerate(network.widths):
        side = -(-side // 2)
        convolutions += side * side * width * n_in * (25 if i == 0 else 9)
        n_in = width
    hidden = side * side * n_in * network.hidden + network.hidden
    return Macs(spots + blur, convolutions, hidden, linear)
