"""What a run leaves on disk. Imports no client library, opens no connection."""
