"""Column builders: convert parsed rows to Arrow columns."""
