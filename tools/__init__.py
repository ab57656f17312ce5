"""Scripts behind the Makefile's targets; they run before the project is installed."""
