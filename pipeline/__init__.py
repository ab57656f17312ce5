"""Tables in, tables out: logs to sessions and windows, window logits to a scores table."""
