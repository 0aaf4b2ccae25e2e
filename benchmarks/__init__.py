"""Benchmarks. Each module has `measure`, which returns its rows as plain data."""
