"""How far one gets without looking at the path: the clock, the screen, the length of a session."""
