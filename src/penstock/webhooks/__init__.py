"""Webhooks: send the state changes of import jobs to addresses of users."""
