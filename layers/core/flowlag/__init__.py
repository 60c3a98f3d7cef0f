"""The domain of flowlag: how late a flow record is, and how we know.

Pure: standard library only; no AWS, clock, environment, randomness or I/O. What time it is and what a run is
called are arguments. Instants are integer microseconds since the Unix epoch, UTC (`Micros`), so that arithmetic
is exact and Parquet stores them unchanged; a delay is a float of seconds.
"""
