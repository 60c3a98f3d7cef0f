"""What documents have from the code: whole pages, and blocks between two comments.

`python -m local.documents` writes them again; a test compares them. What takes Episode 18's data is written by
`python -m local.episode_18`.
"""
