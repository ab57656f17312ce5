"""Which encoding and which network tell hands apart: the same short training for each."""
