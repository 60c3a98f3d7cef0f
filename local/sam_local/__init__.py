"""`sam local`, for real: every function in the container, or the emulator, that the SAM CLI would run it in.

`python -m local.sam_local` is `make sam-local`. It needs no container registry and no installed engine: see
docs/decisions/0013.
"""
