"""Log files to clean sessions in a store: parse, clean, group, report what became of each row."""
