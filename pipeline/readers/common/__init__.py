"""What readers share: what a format is, files, cells, tables, JSON and limits."""
