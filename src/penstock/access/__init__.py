"""Access control: authentication, API keys and users, fairness keys, and the audit log."""
