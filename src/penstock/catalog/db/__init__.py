"""The catalog's database: connection, tables, transactions, group commit, notifications, encryption."""
