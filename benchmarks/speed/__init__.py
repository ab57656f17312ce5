"""How fast, against what people would use instead: ours and its peers in one process."""
