"""Episode 18, revisited: its four plots again, and its open questions answered from its own data.

`python -m local.episode_18 FOLDER` writes `docs/episode-18-revisited.md` and its pictures. The data was published
without a licence: the page has facts and our own plots, and nothing of the files is copied.
"""
