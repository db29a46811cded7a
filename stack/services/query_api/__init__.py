"""
The query API: what the table holds, newest first, over HTTP.

A background thread follows the table's snapshots and keeps the newest rows in memory; every
answer is made from one snapshot and says which, and when that was last known to be the newest.
While the table cannot be looked at, the API goes on answering from what it remembers, and says so.
"""
