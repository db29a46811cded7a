"""A simulated Binance: contiguous trades anyone can verify, a feed, a REST history, a ledger."""
