"""Sessions as ragged arrays: windows, resampling, labels and feedback."""
