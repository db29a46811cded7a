#!/usr/bin/env python3
"""
Resolve jars.toml with Maven and write jars.lock: every coordinate with its SHA-256.

Run it by hand after a change of jars.toml (needs ``mvn``; which repository is asked is
Maven's own configuration). What it writes is what everybody builds from.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from xml.sax.saxutils import escape

HERE = Path(__file__).resolve().parent
LISTED = re.compile(r"^\s*(?P<spec>[\w.-]+(?::[\w.-]+){4,5}):(?P<file>/.+?)(?:\s+--.*)?\s*$")


def main() -> int:
    """Rewrite jars.lock beside this script."""
    wanted = tomllib.loads((HERE / "jars.toml").read_text(encoding="utf-8"))
    lines = ["# Written by lock_jars.py from jars.toml; do not edit."]
    for image, want in wanted.items():
        lines += ["", f"[{image}]"]
        lines += [f'"{name}" = "{digest}"' for name, digest in sorted(resolve(image, want))]
        sys.stdout.write(f"{image}: {len(lines)} lines\n")
    (HERE / "jars.lock").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return 0


def resolve(image: str, want: dict[str, list[str]]) -> set[tuple[str, str]]:
    """Return (coordinate, sha256) of everything the roots of one image need at run time."""
    with tempfile.TemporaryDirectory() as folder:
        pom = Path(folder) / "pom.xml"
        listing = Path(folder) / "list.txt"
        pom.write_text(project(image, want), encoding="utf-8")
        subprocess.run(
            ["mvn", "-q", "-B", "-f", str(pom), "dependency:list", "-DincludeScope=runtime",
             "-DoutputAbsoluteArtifactFilename=true", f"-DoutputFile={listing}"],
            check=True,
        )  # fmt: skip
        found = [LISTED.match(line) for line in listing.read_text(encoding="utf-8").splitlines()]
    return {(coordinate(hit["spec"]), sha256(Path(hit["file"]))) for hit in found if hit}


def project(image: str, want: dict[str, list[str]]) -> str:
    """Return the smallest POM whose dependencies are the roots."""
    cuts = "".join(
        f"<exclusion><groupId>{group}</groupId>"
        f"<artifactId>{artifact or '*'}</artifactId></exclusion>"
        for group, _, artifact in (cut.partition(":") for cut in want.get("exclude", []))
    )
    roots = "".join(dependency(root, cuts) for root in want["roots"])
    return (
        "<project><modelVersion>4.0.0</modelVersion><groupId>lab</groupId>"
        f"<artifactId>{escape(image)}</artifactId><version>1</version>"
        f"<dependencies>{roots}</dependencies></project>"
    )


def dependency(root: str, cuts: str) -> str:
    """Return one root as a POM dependency."""
    name, _, extension = root.partition("@")
    group, artifact, version, *classifier = name.split(":")
    tagged = f"<classifier>{classifier[0]}</classifier>" if classifier else ""
    return (
        f"<dependency><groupId>{group}</groupId><artifactId>{artifact}</artifactId>"
        f"<version>{version}</version>{tagged}<type>{extension or 'jar'}</type>"
        f"<exclusions>{cuts}</exclusions></dependency>"
    )


def coordinate(spec: str) -> str:
    """Turn Maven's ``group:artifact:type[:classifier]:version:scope`` into ours."""
    group, artifact, extension, *middle, version, _scope = spec.split(":")
    name = ":".join([group, artifact, version, *middle])
    return name if extension == "jar" else f"{name}@{extension}"


def sha256(path: Path) -> str:
    """Return the digest of one file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


if __name__ == "__main__":
    sys.exit(main())
