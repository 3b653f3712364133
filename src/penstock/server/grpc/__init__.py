"""gRPC on the port of HTTP: telling them apart, relaying, running the dialect's methods."""
