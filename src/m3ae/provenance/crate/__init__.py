"""A run as an RO-Crate: workflow, records, tables, and who made what from what, for archives to read."""
