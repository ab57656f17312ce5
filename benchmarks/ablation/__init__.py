"""What of the print and of the network matters: one change each from the default, measured.

    python -m benchmarks.ablation owners [--rows NAME ...] [--seeds 3]
    python -m benchmarks.ablation bots [--rows NAME ...] [--folds 0 1] [--seeds 1]
    python -m benchmarks.ablation [owners|bots] --show

Needs the recordings in POINTERPRINT_DATA (default ../shared/data). `owners`: SapiMouse's people,
whom the population has not seen, and Balabit's accounts. `bots`: matched moves of the folds of
`benchmarks.bots --all-twins`, with the multiply-accumulates of each network. A line for each row,
seed and fold is appended to --json as soon as it is measured: a second call goes on from there.
"""
