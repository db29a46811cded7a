"""SIGTERM in the API's first seconds: while it imports, and until uvicorn takes over."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from sink_kafka import wait_until
from test_api_process import environment, silent
from test_exchange_process import free_port

HANGS = """
import pathlib, time
pathlib.Path({mark!r}).touch()
time.sleep(60)
"""


def stand_in(folder: Path, mark: Path, *, at_import: bool) -> None:
    """Put a module in uvicorn's place that hangs, and leaves *mark* when it begins to."""
    hangs = HANGS.format(mark=str(mark))
    if not at_import:
        body = hangs.strip().replace("\n", "\n    ")
        hangs = f"def run(*_, **__):\n    {body}\n"
    (folder / "uvicorn.py").write_text(hangs, encoding="utf-8")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("at_import", [True, False])
def test_it_ends_at_once_when_told_before_it_serves(
    tmp_path: Path, *, at_import: bool, number: signal.Signals
) -> None:
    mark = tmp_path / "hangs"
    stand_in(tmp_path, mark, at_import=at_import)
    with silent() as quiet:
        asked = {"S3_ENDPOINT": f"http://{quiet}", "SCHEMA_REGISTRY_URLS": f"http://{quiet}"}
        settings = environment(
            PORT=str(free_port()), CATALOG_URI=f"http://{quiet}", KAFKA_BOOTSTRAP=quiet, **asked
        )
        settings["PYTHONPATH"] = f"{tmp_path}:{settings['PYTHONPATH']}"
        process = subprocess.Popen([sys.executable, "-m", "query_api"], env=settings)
        try:
            wait_until(mark.exists)
            process.send_signal(number)
            assert process.wait(5) == 0
        finally:
            process.kill()
            process.wait()
