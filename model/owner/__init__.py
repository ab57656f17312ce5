"""Is this the account's owner: embeddings, profiles of accounts, and the comparison of both."""
