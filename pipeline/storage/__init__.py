"""Storage: paths, publishing, and shards of inputs."""
