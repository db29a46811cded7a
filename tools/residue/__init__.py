"""
Does anything stay broken when a run is killed? The harness that asks, at every step of every fault.

``python -m tools.residue [trials]`` runs the long form and prints a table. A trial is one fault on
a tiny container, or an exchange, of its own, or on the lab where that is up. It is held by a
process that is killed (SIGKILL to its whole process group) at one boundary between two steps, or
somewhere within one; the guardian is killed with it or is not. Then the guardian heals, or the next
command's sweep does, and the oracle looks.
"""
