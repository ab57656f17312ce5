"""The report for analysts: an HTML page that needs no network."""
