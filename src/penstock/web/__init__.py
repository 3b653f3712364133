"""The page: HTML for people, over the same services and the same admission as the wires."""
