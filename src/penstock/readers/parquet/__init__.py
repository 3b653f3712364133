"""Reader of Parquet files."""
