"""Export jobs: the rows of a collection, written as import files."""
