"""What an event is, and of which button: the codes in every table. (No Arrow here.)"""

from enum import IntEnum


class Kind(IntEnum):
    """What an event is."""

    MOVE = 0
    DOWN = 1
    UP = 2
    DRAG = 3
    SCROLL = 4
    CLICK = 5
    TOUCH = 6


class Button(IntEnum):
    """Which mouse button an event is about."""

    NONE = 0
    LEFT = 1
    RIGHT = 2
    MIDDLE = 3
    OTHER = 4
