"""What is measured of a motion: each quantity has its one definition here."""
