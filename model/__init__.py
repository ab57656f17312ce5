"""Points in, logits and their meaning out: network, training, calibration, evaluation."""
