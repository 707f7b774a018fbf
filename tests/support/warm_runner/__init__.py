"""Forks the work processes of runs from one warm parent, so that tests don't import torch again for every run.

- `installation.py` lays out a bin folder whose `darkroom-runner` starts its work through `client.py`. For fixtures.
- `server.py` is the warm parent: it has the runner's libraries loaded and forks itself for each client.
- `client.py` takes the place of the work process: it passes on signals, and ends as the fork ends.

Production code knows nothing of this: `darkroom-runner` starts its work with `sys.executable`, which the launcher sets.
"""
