"""
Generate the typed clients in `mjrelay_clients` from contracts and overlays, and detect drift.

The package may import `mjrelay.contract` and the packages below it. Code that the generated clients share
belongs to `runtime/`, which is copied into them.
"""
