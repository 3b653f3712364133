"""The server's process: data folder, hardening, environment."""
