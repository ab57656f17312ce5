"""Points in, images out: paths drawn with speed as colour, in one JAX function."""
