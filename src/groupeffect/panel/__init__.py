"""Read and validate a panel, once."""
