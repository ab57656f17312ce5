"""One job a file: plain functions that read, call the stages and write; no Prefect here."""
