"""Stateful stand-ins for the parts of a pipeline; each speaks the real protocol on 127.0.0.1."""
