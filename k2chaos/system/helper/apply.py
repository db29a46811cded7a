"""
Add rules to the packet filter of this network namespace, all at once, at an instant.

Arguments: the instant in seconds since 1970 (one that has passed is now), and the rules as
iptables-restore reads them. Prints when they were in force.
"""

import subprocess
import sys
import time

AHEAD_SECONDS = 0.012
"""What iptables-restore needs."""

instant, rules = float(sys.argv[1]), sys.argv[2]
time.sleep(max(0.0, instant - AHEAD_SECONDS - time.time()))
subprocess.run(["iptables-restore", "--noflush", "--wait"], input=rules, check=True, text=True)
print(time.time())
