"""The only code that touches a running system."""
