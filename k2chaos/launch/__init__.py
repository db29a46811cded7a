"""Running experiment files: one child process each, one summary over them."""
