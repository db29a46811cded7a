"""
The test of the judge: every bug that the lab can be given on purpose, and whether it is found.

``python -m tools.bugs [name,name]`` brings the lab up with one bug after the other, runs the
experiment that ought to find it by the real command line, and compares ``verdict.json`` with what
`expected.toml` says. At the end the lab has no bug.
"""
