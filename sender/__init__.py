"""The sender: one probe a tick, by absolute deadlines, with a ledger. Runs on EC2 under SSM; imports core only."""
