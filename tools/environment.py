"""
Make the project's virtual environment: ``python3 tools/environment.py .venv``.

Runs before anything is installed, so it uses the standard library only and must parse under any
Python 3. Installs exactly what ``requirements.lock`` pins, by hash, and the project itself.
"""

import os
import pathlib
import shutil
import subprocess
import sys

OLDEST = (3, 11)
USAGE = 2


def main(folder):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Create *folder* anew where it is missing, broken or of another Python; fill it."""
    if sys.version_info < OLDEST:
        fail(
            "Python %d.%d or later is needed, this is %s: install one, or name one with "
            "`make PYTHON=/path/to/python3 ...`" % (*OLDEST, sys.version.split()[0])
        )
    python = pathlib.Path(folder) / "bin" / "python"
    if not works(python):
        print("making %s with Python %s" % (folder, sys.version.split()[0]), flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        create(folder)
    print("installing the packages of requirements.lock (by hash)", flush=True)
    pip = [str(python), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    run([*pip, "--require-hashes", "--requirement", "requirements.lock"])
    # The licence table, which Chaos Toolkit 1.19 needs, is warned about at length.
    os.environ["PYTHONWARNINGS"] = "ignore"
    run([*pip, "--no-deps", "--no-build-isolation", "--editable", "."])


def works(python):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Whether *python* runs, has pip, and is the Python that runs this."""
    if not python.exists():
        return False
    code = "import pip, sys; sys.exit(sys.version_info[:2] != %r)" % (tuple(sys.version_info[:2]),)
    return subprocess.run([str(python), "-c", code], check=False).returncode == 0


def create(folder):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Make the environment; on Debian and Ubuntu, as root, install what venv lacks first."""
    command = [sys.executable, "-m", "venv", folder]
    if subprocess.run(command, check=False, capture_output=True).returncode == 0:
        return
    package = "python%d.%d-venv" % sys.version_info[:2]
    if os.geteuid() == 0 and shutil.which("apt-get"):
        print("installing %s" % package, flush=True)
        environment = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
        subprocess.run(["apt-get", "update", "-q"], check=False, env=environment)
        install = ["apt-get", "install", "-y", "-q", "--no-install-recommends", package]
        subprocess.run(install, check=False, env=environment)
    shutil.rmtree(folder, ignore_errors=True)
    if subprocess.run(command, check=False).returncode != 0:
        fail("cannot make %s: install the package %s (or your system's like)" % (folder, package))


def run(command):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Run one step of the installation."""
    if subprocess.run(command, check=False).returncode != 0:
        fail("this step failed: %s" % " ".join(command))


def fail(message):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """One clear message; the exit code of a usage error."""
    print("error: " + message, file=sys.stderr)
    sys.exit(USAGE)


if __name__ == "__main__":
    main(sys.argv[1])
