"""Run-level statistics of delays, on NumPy: what may be said of a campaign, and what may not be said yet."""
