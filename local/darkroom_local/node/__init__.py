"""A single node: scheduler and kubelet of one namespace, which runs each pod as a process of this machine.

Started as `python -m darkroom_local.node`; other packages import only `journal` and constants. There are no containers:
every user who can create pods in the namespace can run the programs in the node's bin folder.
"""
