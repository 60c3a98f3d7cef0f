"""One flat file a function, named like it. On Lambda these are top-level modules; the package is for linters."""
