"""What holds for all tests."""

from hypothesis import settings

# How long one example takes says nothing on a machine that does something else as well.
settings.register_profile("patient", parent=settings.default, deadline=None, max_examples=30)
settings.load_profile("patient")
