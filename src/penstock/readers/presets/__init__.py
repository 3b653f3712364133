"""Exports of other vector stores, a module for each: the option ``from_format`` names which one wrote the files."""
