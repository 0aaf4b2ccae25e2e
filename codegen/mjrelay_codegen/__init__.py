"""
From contracts and overlays to the typed clients in `mjrelay_clients`, and the guard against drift.

It may import mjrelay's contracts and what these import; what a generated client needs belongs to its runtime.
"""
