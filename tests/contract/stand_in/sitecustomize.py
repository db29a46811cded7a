"""
Puts a stand-in control in the place of the package's own, in processes with this on their path.

The runner and the plug-in are then tried as they are, through the real ``chaos`` command, without
a container engine: the stand-in writes what the contract between control and runner says.
"""

import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path


class StandIn(MetaPathFinder):
    """Finds ``k2chaos.controls`` beside this file."""

    def find_spec(
        self, fullname: str, _path: object = None, _target: object = None
    ) -> ModuleSpec | None:
        """The stand-in's place; ``None`` for every other module."""
        if fullname != "k2chaos.controls":
            return None
        return spec_from_file_location(fullname, Path(__file__).with_name("stand_in_control.py"))


sys.meta_path.insert(0, StandIn())
