"""One flat file a task state, named like it. On Lambda these are top-level modules; the package is for linters."""
