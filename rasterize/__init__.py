"""Draw points as images: panels for the network, paths for people."""
