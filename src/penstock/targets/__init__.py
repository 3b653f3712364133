"""What other servers refuse of import files that this one reads: a table of rules per target, and their checks."""
