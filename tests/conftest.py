"""What holds for every test."""

from hypothesis import settings

# A gate says the same of the same code: examples are derived from the test, and a busy machine is no failure.
settings.register_profile("gate", derandomize=True, deadline=None)
settings.load_profile("gate")
