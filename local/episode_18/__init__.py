"""Episode 18, revisited: its four plots again, and its open questions answered from its own data.

`python -m local.episode_18 FOLDER` writes `docs/episode-18-revisited.md`, its pictures and what README.md tells of
them. The data was published without a licence: these have facts and our own plots, and nothing of the files is
copied.
"""
