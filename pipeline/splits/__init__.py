"""Partitions and folds that keep groups of sessions together."""
