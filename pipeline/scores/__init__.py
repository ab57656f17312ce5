"""The SCORES table: rows from logits, published partitions, abstentions, duplicates."""
