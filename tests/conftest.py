"""What holds for every test."""

import signal

from hypothesis import settings

# A gate says the same of the same code: examples are derived from the test, and a busy machine is no failure.
settings.register_profile("gate", derandomize=True, deadline=None)
settings.load_profile("gate")

# A shell's background job ignores Ctrl-C, and so would all that it starts; some tests send it to what they start.
signal.signal(signal.SIGINT, signal.default_int_handler)
