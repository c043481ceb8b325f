"""Imported last by the server that forks: what it holds stays, and no child's garbage collector goes through it."""

import gc

gc.collect()
gc.freeze()
