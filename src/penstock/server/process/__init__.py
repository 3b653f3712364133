"""The server's process: data dir, hardening, environment."""
