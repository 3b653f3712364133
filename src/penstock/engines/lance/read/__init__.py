"""Query and search of Lance tables; filters compiled to SQL."""
