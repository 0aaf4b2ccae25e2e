"""Views of a run's record: one module for each, all of them made from `results.json` alone."""
