"""The use cases of the data plane: databases, collections, partitions, indexes, and reading rows."""
