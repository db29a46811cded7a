"""
One experiment in a process of its own: ``python -m k2chaos.launch.child <arguments for chaos>``.

Lives in its own session, so that a Ctrl-C at the terminal reaches it once, through its parent. It
holds the reading end of a pipe whose other end dies with the parent: at end-of-file it interrupts
itself, the run unwinds and heals. Runs upstream's own ``run``, not the one of our plug-in.
"""

import contextlib
import os
import signal
import sys
import threading
from typing import Final

from k2chaos.last_line import exit_code_of

PARENT_FD: Final = "K2CHAOS_PARENT_FD"
REPORT: Final = "K2CHAOS_REPORT"
EXPERIMENT: Final = "K2CHAOS_EXPERIMENT"


def main(arguments: list[str]) -> int:
    """Run Chaos Toolkit with *arguments*; the exit code is its own, or 4 after a crash."""
    # A shell starts background jobs with SIGINT ignored, and Python leaves it so: then nothing
    # could interrupt the run.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    descriptor = os.environ.pop(PARENT_FD, None)
    if descriptor is not None:
        interrupt_when_parent_dies(int(descriptor))
    return exit_code_of(lambda: _run_upstream(arguments))


def interrupt_when_parent_dies(descriptor: int) -> threading.Thread:
    """Watch the pipe in the background; at its end send SIGINT to this process, once."""
    os.set_inheritable(descriptor, False)  # noqa: FBT003 - the standard library's signature

    def watch() -> None:
        while os.read(descriptor, 1):
            pass
        os.kill(os.getpid(), signal.SIGINT)
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.write("k2chaos: the parent process died; ending the run and healing\n")

    thread = threading.Thread(target=watch, name="k2chaos-parent-watch", daemon=True)
    thread.start()
    return thread


def _run_upstream(arguments: list[str]) -> int:
    from chaostoolkit.cli import cli
    from chaostoolkit.commands.run import run

    cli.add_command(run)  # our plug-in has taken its place
    try:
        cli.main(args=arguments, prog_name="chaos")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
