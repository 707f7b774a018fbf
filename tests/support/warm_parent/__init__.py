"""Forks processes from a warm parent, so that tests don't import torch, FastAPI or kopf again for every process.

- `installation.py` lays out a bin folder with an interpreter that forks, and starts the warm parent. For fixtures.
- `server.py` is the warm parent: it has the libraries of one package loaded and forks itself for each client.
- `client.py` is that interpreter: it has a module forked, passes on signals, and ends as the fork ends.
- `image_steps.py` makes the images of trainings cheap.
- `forks.py` finds the fork of a client.

Production code knows nothing of this: `darkroom-runner` starts its work with `sys.executable`, which is the forking
interpreter in its fork. SIGSTOP stops the client alone: `forks.py` finds the fork, which a test may freeze.
"""
