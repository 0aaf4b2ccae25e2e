"""From contracts and overlays to the typed clients in `mjrelay_clients`, and the guard against drift."""
