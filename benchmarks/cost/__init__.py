"""What accuracy costs: networks from a linear model to wide CNNs, on both tasks.

    python -m benchmarks.cost [--networks NAME ...] [--minutes M] [--to FOLDER]

Each network sees pictures alone and is trained as shortly as the others. Owner: the ablation's
question, Balabit's device-matched test sessions and SapiMouse's unseen people at 15 s. Bots: one
fold of `benchmarks.bots`, families never trained on, at matched distances, durations and pauses.
Cost: multiply-accumulates of a picture, and pictures a second, drawing included, all networks
taking turns in one process. Cells are kept in FOLDER/cells.jsonl: a second call goes on.
"""
