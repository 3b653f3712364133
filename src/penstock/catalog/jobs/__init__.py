"""Import jobs in the catalog: states, leases, plans, listing, quotas, retention."""
