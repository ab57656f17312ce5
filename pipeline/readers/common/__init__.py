"""What readers share: formats, files, cells, tables, JSON and limits."""
