"""Network, training, calibration, thresholds and evaluation."""
