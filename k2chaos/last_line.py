"""
The last line of a process: the one place where everything that was not expected ends.

Owns the package's only broad ``except``. A mistake of the user's is told without a traceback; a
mistake of ours is told with one, and exits with 4 so that nobody takes it for a verdict.
"""

import sys
import traceback
from collections.abc import Callable

from k2chaos.errors import EXIT_CRASH, K2ChaosError


def exit_code_of(body: Callable[[], int]) -> int:
    """Run *body* and turn every way it can end into an exit code; `SystemExit` passes."""
    try:
        return body()
    except K2ChaosError as error:
        sys.stderr.write(f"k2chaos: {error}\n")
        return error.exit_code
    except Exception as error:  # noqa: BLE001 - a traceback must not exit like a failed experiment
        traceback.print_exc()
        sys.stderr.write(
            f"k2chaos: crashed ({type(error).__name__}: {error}); this is a bug, please report "
            "the lines above\n"
        )
        return EXIT_CRASH
