"""
The query API: what the table holds, newest first, over HTTP.

A background thread follows the table's snapshots and keeps the newest rows in memory; every
answer is made from one snapshot and says which. When the table could not be confirmed for a
while, the API says so instead of answering with what it remembers.
"""
