"""
Tools for the end-to-end suite: ``python -m tools.e2e COMMAND``.

What the suite leaves behind (`runs`), and what is made of it: trends, the table of data paths, the
selection of tests by what changed, the suite repeated, the page of success criteria. None of them
needs a lab, but those that run tests.
"""
