"""Measurements of what mjrelay promises; each module runs on its own and gives its rows as plain data."""
