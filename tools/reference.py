"""
Write the pages of ``docs/reference`` that are made from the code: ``python -m tools.reference``.

With ``--check`` nothing is written; exit code 1 when a page is not what the code says.
"""

import inspect
import sys
from pathlib import Path
from types import ModuleType

from k2chaos import actions, listing, probes
from tools import anomalies, verdicts

FOLDER = Path(__file__).parents[1] / "docs" / "reference"


def page(module: ModuleType, title: str) -> str:
    """One page: the module's first words, then its functions, each with its docstring."""
    head = [f"# {title}", "", "Generated from the code; `make docs` writes it anew.", ""]
    parts = [*head, inspect.cleandoc(module.__doc__ or ""), ""]
    for name in sorted(module.__all__):
        function = getattr(module, name)
        parts += [f"## `{name}({listing.signature(function)})`", ""]
        parts += ["```text", inspect.cleandoc(function.__doc__ or ""), "```", ""]
    return "\n".join(parts)


def main() -> int:
    """Write the pages, or compare them."""
    pages = {
        "actions.md": page(actions, "Actions"),
        "probes.md": page(probes, "Probes"),
        "faults.md": listing.page(),
        "verdicts.md": verdicts.page(),
        "anomalies.md": anomalies.page(),
    }
    stale = 0
    for name, text in pages.items():
        path = FOLDER / name
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        stale += 1
        if "--check" in sys.argv:
            print(f"{path.name} is not what the code says: run `make docs`")
        else:
            path.write_text(text, encoding="utf-8")
    return int(bool(stale) and "--check" in sys.argv)


if __name__ == "__main__":
    sys.exit(main())
