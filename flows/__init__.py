"""Jobs and the outside: the command line, and Prefect flows around the same plain functions."""
