"""Milvus boolean expressions: text in, a typed tree out. See ``parse``."""
