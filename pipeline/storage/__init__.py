"""Where tables lie, how they are published, and how inputs are cut into shards."""
