"""A small node: runs each pod of one namespace as a process of this machine. For laptops, demos and tests.

Started as `python -m darkroom_local.node`; only `record` is imported by others. There are no containers here: who may
create pods in the namespace may run the programs of the node's bin folder, as the node's own user.
"""
