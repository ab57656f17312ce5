"""Features of motion: the one definition of each quantity, of intervals, rests and movements."""
