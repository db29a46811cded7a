"""
Reset the TCP connections of this network namespace to some addresses, again and again.

Arguments: the port of an echo service beside, by which somebody sees it; the instant of the first
time in seconds since 1970 (one that has passed is `GRACE_SECONDS` from now, for whoever watches has
to open a connection before); the seconds between two times; the addresses.
"""

import subprocess
import sys
import time

GRACE_SECONDS = 3.0

port, instant, period_seconds = sys.argv[1], float(sys.argv[2]), float(sys.argv[3])
subprocess.Popen((sys.executable, "/opt/k2chaos/echo.py", port))
if instant < time.time():
    instant = time.time() + GRACE_SECONDS
while True:
    time.sleep(max(0.0, instant - time.time()))
    for address in sys.argv[4:]:
        command = ("ss", "-K", "-t", "-n", "dst", address)
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    instant = max(instant + period_seconds, time.time())
