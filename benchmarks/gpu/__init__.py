"""Does a GPU agree with the CPU, and how fast is it? NumPy, JAX, Flax and optax suffice."""
