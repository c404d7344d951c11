"""What is kept on disk: models, the decision log, the money ledger."""
