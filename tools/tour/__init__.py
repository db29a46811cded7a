"""
Every fault and every injection once on the lab, by the real command line; a table of what was seen.

``python -m tools.tour [action ...]`` runs the experiment that the project has for an action, or one
like the others where it has none. Before and after each, an oracle that shares no code with the
product looks at the lab.
"""
