"""Features of motion: the one definition of each quantity, of movements and of rests."""
