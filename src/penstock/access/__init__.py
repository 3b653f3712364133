"""The use cases of who may come in: telling callers by their credentials, and keys, users and clusters."""
