"""Read logs into sessions and windows; write window logits as a scores table."""
