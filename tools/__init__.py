"""What the house itself is kept in order with."""
