"""How do scores change under what an attacker can do cheaply, and people's under the same?

    python -m benchmarks.robustness [--fold N] [--json FILE] [--state FOLDER] [--set S.F=V]

Needs SapiMouse and the bots in POINTERPRINT_DATA (default ../shared/data). A fraud model is trained
on what a fold of `benchmarks.bots` leaves; attacked are the bots of that fold's families, recorded
and simulated, that the model flags as they come. Neither their generators nor the people of the
fold were trained on. The people's sub-sessions are changed alike: what raises the false-positive
rate?
docs/benchmarks.md holds what it prints.
"""
